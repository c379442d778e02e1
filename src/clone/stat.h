// SPDX-License-Identifier: Apache-2.0
// The layout of a file: extents, shared bytes, holes, links.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "file/extents.h"

namespace cloning {

struct StatReport {
  std::string path;
  int64_t size = 0;
  int64_t allocated = 0;  // on the disk, except for what only the filesystem knows (compression)
  int64_t holes = 0;      // number of holes
  int64_t hole_bytes = 0;
  int64_t links = 0;
  std::optional<file::ExtentSurvey> extents;  // nothing if the filesystem has no FIEMAP
  int64_t clone_ms = 0;                       // the longest time of a clone, in milliseconds
  std::optional<bool> has_writer;             // nothing if that cannot be determined
};

// Writes out the file's dirty data first, so that the extents are those on the disk. Throws BadData
// if the file is not a regular file; std::system_error.
StatReport stat_file(const std::string& path);

// Returns the record of type "stat", without a newline.
std::string stat_record(const StatReport& report);
// Returns the line for a person, with its newline.
std::string stat_line(const StatReport& report);

}  // namespace cloning
