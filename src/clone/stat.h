// SPDX-License-Identifier: Apache-2.0
// What a file is made of: extents, what it shares, holes, links.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "file/extents.h"

namespace cloning {

struct StatReport {
  std::string path;
  int64_t size = 0;
  int64_t allocated = 0;  // on the disk, without what only the filesystem knows of (compression)
  int64_t holes = 0;      // how many
  int64_t hole_bytes = 0;
  int64_t links = 0;
  std::optional<file::ExtentSurvey> extents;  // nothing where the filesystem has no FIEMAP
  int64_t clone_ms = 0;                       // what a clone takes at worst
  std::optional<bool> has_writer;             // nothing when that cannot be known
};

// Writes out the file's dirty data first, so that the extents are those of the disk. Throws BadData
// for anything but a regular file, std::system_error.
StatReport stat_file(const std::string& path);

// The record of type "stat", without a newline.
std::string stat_record(const StatReport& report);
// What a person reads, with its newline.
std::string stat_line(const StatReport& report);

}  // namespace cloning
