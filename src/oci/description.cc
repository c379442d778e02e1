// SPDX-License-Identifier: Apache-2.0
// Reads and writes the description blob.
#include "oci/description.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/json_object.h"
#include "meta/guest/disks.h"
#include "meta/vmstate/vmstate.h"
#include "oci/format.h"

namespace oci {
namespace {

constexpr std::array<const char*, 4> kExportedKeys{
    "snapfork.vmm", "snapfork.host", "snapfork.shared_files", "snapfork.assume_no_paths"};
constexpr std::array<std::pair<Role, const char*>, 6> kRoles{{{Role::state, "state"},
                                                              {Role::memory, "memory"},
                                                              {Role::hpl1, "hot-list"},
                                                              {Role::hpl2, "hot-list-2"},
                                                              {Role::drive, "drive"},
                                                              {Role::pmem, "pmem"}}};
// More than two million hot pages.
constexpr uint64_t kMostHotListBytes = 64 << 20;
// A directory entry has at most 255 bytes.
constexpr size_t kMostNameBytes = 255;

[[noreturn]] void refuse(std::string_view name, const std::string& reason) {
  throw base::BadData("cannot read " + base::quoted(name) + ": " + reason);
}

std::string text_at(const base::JsonObject& object, std::string_view key, std::string_view name) {
  const std::string* const raw = object.find(key);
  const std::optional<std::string> text =
      raw != nullptr ? base::json_text(*raw) : std::optional(std::string());
  if (!text) {
    refuse(name, base::quoted(key) + " is not a string");
  }
  return *text;
}

uint64_t most_bytes(Role role) {
  switch (role) {
    case Role::state:
      return meta::vmstate::kMaxVmStateBytes;
    case Role::hpl1:
    case Role::hpl2:
      return kMostHotListBytes;
    default:
      return kMostFileBytes;
  }
}

void check_disk_name(const std::string& file, std::string_view name) {
  const bool is_plain = !file.empty() && file != "." && file != ".." &&
                        file.size() <= kMostNameBytes && file.find('/') == std::string::npos &&
                        file.find('\0') == std::string::npos;
  if (!is_plain || meta::is_reserved_name(file) || base::is_temporary_name(file)) {
    refuse(name, "a disk cannot have the file name " + base::quoted(file));
  }
}

TemplateFile read_file(const base::JsonObject& object, std::string_view name) {
  const std::string role = text_at(object, "role", name);
  const auto* const known =
      std::ranges::find_if(kRoles, [&](const auto& entry) { return role == entry.second; });
  if (known == kRoles.end()) {
    refuse(name, "a file has the role " + base::quoted(role) + ", which is not known");
  }
  TemplateFile file{.role = known->first,
                    .name = text_at(object, "name", name),
                    .path = text_at(object, "path", name)};
  const std::string* const bytes = object.find("bytes");
  const std::optional<uint64_t> number =
      bytes != nullptr ? base::json_unsigned(*bytes) : std::nullopt;
  if (!number || *number == 0 || *number > most_bytes(file.role)) {
    refuse(name, "the file with the role " + base::quoted(role) + " has no valid length");
  }
  file.bytes = *number;
  if (is_disk(file.role)) {
    check_disk_name(file.name, name);
  }
  return file;
}

void check_files(const std::vector<TemplateFile>& files, std::string_view name) {
  if (files.size() > kMostFiles) {
    refuse(name, "it has more than " + std::to_string(kMostFiles) + " files");
  }
  if (files.size() < 2 || files[kStateFile].role != Role::state ||
      files[kMemoryFile].role != Role::memory) {
    refuse(name, "its first files are not a state and a memory");
  }
  for (size_t i = kMemoryFile + 1; i < files.size(); ++i) {
    const bool is_twice =
        std::any_of(files.begin(), files.begin() + static_cast<ptrdiff_t>(i),
                    [&](const TemplateFile& file) {
                      return file.role == files[i].role && file.name == files[i].name;
                    }) ||
        files[i].role == Role::state || files[i].role == Role::memory;
    const bool is_same_name =
        is_disk(files[i].role) &&
        std::any_of(files.begin(), files.begin() + static_cast<ptrdiff_t>(i),
                    [&](const TemplateFile& file) { return file.name == files[i].name; });
    if (is_twice || is_same_name) {
      refuse(name, "it has two files " + base::quoted(files[i].path_in_guest()));
    }
  }
}

}  // namespace

const char* role_name(Role role) {
  return std::ranges::find(kRoles, role, &std::pair<Role, const char*>::first)->second;
}

bool is_hot_list(Role role) {
  return role == Role::hpl1 || role == Role::hpl2;
}

bool is_disk(Role role) {
  return role == Role::drive || role == Role::pmem;
}

std::string TemplateFile::path_in_guest() const {
  switch (role) {
    case Role::state:
      return "snapshots/snapshot-latest/state";
    case Role::memory:
      return "snapshots/snapshot-latest/memory";
    case Role::hpl1:
      return "template/hot.hpl";
    case Role::hpl2:
      return "template/hot.hpl2";
    default:
      return name;
  }
}

meta::Metadata exported_metadata(const meta::Metadata& metadata) {
  meta::Metadata exported;
  if (const std::string name = metadata.text("Name"); !name.empty()) {
    exported.set_text("Name", name);
  }
  for (const char* const key : kExportedKeys) {
    if (const std::optional<std::string> raw = metadata.json().find_path(key)) {
      SNAPFORK_CHECK(exported.json().set_path(key, base::compact_json(*raw)));
    }
  }
  return exported;
}

std::string encode_description(const Description& description) {
  base::JsonList files;
  for (const TemplateFile& file : description.files) {
    base::JsonLine line;
    line.text("role", role_name(file.role));
    if (is_disk(file.role)) {
      line.text("name", file.name).text("path", file.path);
    }
    files.add(line.number("bytes", static_cast<int64_t>(file.bytes)).str());
  }
  return base::JsonLine()
      .number("v", 1)
      .text("memory_digest", description.memory_digest)
      .raw("files", files.str())
      .raw("metadata", description.metadata.json().compact())
      .str();
}

Description parse_description(std::string_view text, std::string_view name) {
  const base::JsonObject object = base::JsonObject::parse(text, name);
  const std::string* const version = object.find("v");
  if (version == nullptr || base::json_integer(*version) != 1) {
    refuse(name, "its version is not 1; a newer snapfork wrote it");
  }
  Description description{
      .memory_digest = text_at(object, "memory_digest", name), .files = {}, .metadata = {}};
  const std::string* const files = object.find("files");
  const std::optional<std::vector<std::string_view>> elements =
      files != nullptr ? base::json_elements(*files) : std::nullopt;
  if (!elements) {
    refuse(name, "it has no list of files");
  }
  for (const std::string_view element : *elements) {
    description.files.push_back(read_file(base::JsonObject::parse(element, name), name));
  }
  check_files(description.files, name);
  if (const std::string* const metadata = object.find("metadata")) {
    // Keys that another program put there are dropped.
    description.metadata = exported_metadata(meta::Metadata::parse(*metadata, std::string(name)));
  }
  return description;
}

std::vector<uint64_t> file_lengths(const Description& description) {
  std::vector<uint64_t> lengths;
  for (const TemplateFile& file : description.files) {
    lengths.push_back(file.bytes);
  }
  return lengths;
}

}  // namespace oci
