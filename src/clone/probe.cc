// SPDX-License-Identifier: Apache-2.0
// Probes whether two files of a directory can share blocks.
#include "clone/probe.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>
#include <exception>

#include "base/error.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "base/utf8.h"
#include "clone/reflink.h"

namespace cloning {
namespace {

std::string directory_of(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) {
    return path;
  }
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

void add(base::JsonLine& line, std::string_view key, const std::optional<std::string>& value) {
  if (value) {
    line.text(key, *value);
  } else {
    line.null(key);
  }
}

}  // namespace

ProbeReport probe(const std::string& path) {
  ProbeReport report{.path = path, .filesystem = filesystem_of(path), .reflink = {}, .why = {}};
  const std::string directory = directory_of(path);
  try {
    const base::Fd dir = base::open_file(directory, O_RDONLY | O_DIRECTORY);
    const int refusal = probe_reflink_within(dir.get(), directory);
    report.reflink = refusal == 0;
    report.why = refusal == 0 ? "" : std::strerror(refusal);
  } catch (const std::exception& error) {
    report.why = error.what();  // read-only, full, no permission: report the rest
  }
  return report;
}

std::string probe_record(const ProbeReport& report) {
  base::JsonLine line("probe");
  const FilesystemInfo& fs = report.filesystem;
  line.path("path", report.path)
      .text("fs_type", fs.type)
      .path("mount_point", fs.mount_point)
      .path("source", fs.source)
      .text("options", fs.options);
  add(line, "uuid", fs.uuid);
  add(line, "label", fs.label);
  if (report.reflink) {
    line.boolean("reflink", *report.reflink);
  } else {
    line.null("reflink");
  }
  add(line, "reflink_why", report.why.empty() ? std::nullopt : std::optional(report.why));
  return line.number("free_bytes", fs.free_bytes).str();
}

std::string probe_lines(const ProbeReport& report) {
  const FilesystemInfo& fs = report.filesystem;
  std::string text;
  const auto line = [&](const char* key, const std::string& value) {
    text += std::string(key) + ": " + base::printable(value) + "\n";
  };
  line("path", base::quoted(report.path));
  line("fs_type", fs.type);
  line("mount_point", base::quoted(fs.mount_point));
  line("source", fs.source);
  line("options", fs.options);
  line("uuid", fs.uuid.value_or("-"));
  line("label", fs.label.value_or("-"));
  const std::string why = report.why.empty() ? "" : " (" + report.why + ")";
  line("reflink", (!report.reflink ? "unknown" : *report.reflink ? "yes" : "no") + why);
  line("free_bytes", std::to_string(fs.free_bytes));
  return text;
}

}  // namespace cloning
