// SPDX-License-Identifier: Apache-2.0
// Reads and writes snapfork.vmm, snapfork.shared_files and snapfork.assume_no_paths.
#include "meta/guest/snapshot_record.h"

#include <optional>
#include <utility>

#include "base/error.h"
#include "base/json_line.h"
#include "base/json_object.h"

namespace meta {
namespace {

constexpr std::string_view kVmm = "snapfork.vmm";
constexpr std::string_view kVmmVersion = "snapfork.vmm.version";
constexpr std::string_view kSharedFiles = "snapfork.shared_files";
constexpr std::string_view kAssumeNoPaths = "snapfork.assume_no_paths";

}  // namespace

std::string snapshot_vmm(const Metadata& metadata) {
  const std::optional<std::string> raw = metadata.json().find_path(kVmmVersion);
  return raw ? base::json_text(*raw).value_or("") : "";
}

void set_snapshot_vmm(Metadata& metadata, std::string_view version, std::string_view from) {
  base::JsonLine line;
  line.text("version", version).text("from", from);
  static_cast<void>(metadata.json().set_path(kVmm, line.str()));
}

std::vector<std::string> shared_files(const Metadata& metadata) {
  const std::optional<std::string> raw = metadata.json().find_path(kSharedFiles);
  std::vector<std::string> paths;
  if (!raw || *raw == "null") {
    return paths;
  }
  const auto refuse = [] {
    throw base::BadData(
        "cannot use 'snapfork.shared_files' in the metadata: it is not a list of strings");
  };
  const std::optional<std::vector<std::string_view>> elements = base::json_elements(*raw);
  if (!elements) {
    refuse();
  }
  for (const std::string_view element : *elements) {
    std::optional<std::string> path = base::json_text(element);
    if (!path) {
      refuse();
    }
    paths.push_back(*std::move(path));
  }
  return paths;
}

void set_shared_files(Metadata& metadata, const std::vector<std::string>& paths) {
  static_cast<void>(metadata.json().set_path(kSharedFiles, base::json_array(paths)));
}

bool assumes_no_paths(const Metadata& metadata) {
  return metadata.json().find_path(kAssumeNoPaths) == "true";
}

void set_assumes_no_paths(Metadata& metadata) {
  static_cast<void>(metadata.json().set_path(kAssumeNoPaths, "true"));
}

}  // namespace meta
