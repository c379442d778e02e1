// SPDX-License-Identifier: Apache-2.0
// reflink-clone --stat: measures a file and formats the result.
#include "clone/stat.h"

#include <sys/stat.h>

#include "base/error.h"
#include "base/file_status.h"
#include "base/json_line.h"
#include "clone/report.h"
#include "clone/source_file.h"
#include "file/data_ranges.h"
#include "file/file_lease.h"

namespace cloning {
namespace {

constexpr int64_t kBlockUnit = 512;  // the unit of st_blocks

void count_holes(int fd, StatReport& report) {
  off_t at = 0;
  const auto add = [&](off_t end) {
    if (end > at) {
      ++report.holes;
      report.hole_bytes += end - at;
    }
  };
  for (std::optional<file::ByteRange> data = file::next_data(fd, 0, report.size, report.path); data;
       data = file::next_data(fd, at, report.size, report.path)) {
    add(data->begin);
    at = data->end;
  }
  add(report.size);
}

void add_number(base::JsonLine& line, std::string_view key, const StatReport& report,
                int64_t (*number)(const file::ExtentSurvey&)) {
  if (report.extents) {
    line.number(key, number(*report.extents));
  } else {
    line.null(key);
  }
}

std::string counted(int64_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

}  // namespace

StatReport stat_file(const std::string& path) {
  const SourceFile file = open_operand(path);
  if (!S_ISREG(file.st.st_mode)) {
    throw base::BadData("cannot list the extents of " + base::quoted(path) +
                        ": it is not a regular file");
  }
  // Flushed first: st_blocks is only final after that.
  const std::optional<file::ExtentSurvey> extents =
      file::survey_extents(file.fd.get(), file.st.st_size, file::Flush::yes, path);
  const struct stat st = base::stat_fd(file.fd.get(), path);
  StatReport report{.path = path,
                    .size = st.st_size,
                    .allocated = st.st_blocks * kBlockUnit,
                    .links = static_cast<int64_t>(st.st_nlink),
                    .extents = extents,
                    .has_writer = {}};
  count_holes(file.fd.get(), report);
  report.clone_ms =
      file::clone_cost_ms(file.fd.get(), report.extents ? report.extents->extents : 0);
  const file::FileLease lease(file.fd.get(), file::FileLease::Kind::read);
  if (lease.is_proof()) {
    report.has_writer = lease.state() == file::FileLease::State::refused;
  }
  return report;
}

std::string stat_record(const StatReport& report) {
  base::JsonLine line("stat");
  line.path("path", report.path)
      .number("size_bytes", report.size)
      .number("allocated_bytes", report.allocated);
  add_number(line, "extents", report, [](const file::ExtentSurvey& of) { return of.extents; });
  add_number(line, "bytes_shared", report,
             [](const file::ExtentSurvey& of) { return of.shared_bytes; });
  add_number(line, "bytes_exclusive", report,
             [](const file::ExtentSurvey& of) { return of.data_bytes - of.shared_bytes; });
  add_number(line, "bytes_preallocated", report,
             [](const file::ExtentSurvey& of) { return of.preallocated_bytes; });
  line.number("holes", report.holes)
      .number("bytes_hole", report.hole_bytes)
      .number("links", report.links);
  if (report.extents) {
    line.number("clone_ms", report.clone_ms);
  } else {
    line.null("clone_ms");
  }
  if (report.has_writer) {
    line.boolean("has_writer", *report.has_writer);
  } else {
    line.null("has_writer");
  }
  return line.str();
}

std::string stat_line(const StatReport& report) {
  std::string text = base::quoted(report.path) + ": " + human_bytes(report.size) + ", " +
                     human_bytes(report.allocated) + " on the disk";
  if (report.extents) {
    const file::ExtentSurvey& extents = *report.extents;
    text += ", " + counted(extents.extents, "extent") + ", " + human_bytes(extents.shared_bytes) +
            " shared, " + human_bytes(extents.data_bytes - extents.shared_bytes) + " exclusive";
    if (extents.preallocated_bytes != 0) {
      text += ", " + human_bytes(extents.preallocated_bytes) + " preallocated";
    }
  }
  text += ", " + human_bytes(report.hole_bytes) + " in " + counted(report.holes, "hole") + ", " +
          counted(report.links, "link");
  if (report.extents && report.extents->extents > file::kManyExtents) {
    text += ", a clone takes up to " + std::to_string(report.clone_ms) + " ms";
  }
  return text + (report.has_writer.value_or(false) ? ", is being written to\n" : "\n");
}

}  // namespace cloning
