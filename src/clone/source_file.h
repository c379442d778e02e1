// SPDX-License-Identifier: Apache-2.0
// The file to clone, with its status from when it was opened.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/fd.h"

namespace cloning {

// A regular file (or, as an operand, a directory) that is open for reading.
struct SourceFile {
  base::Fd fd;
  struct stat st {};
  std::string path;                                 // for messages
  std::optional<int64_t> defragged = std::nullopt;  // number of extents before it was rewritten
};

// Opens an operand: a regular file or a directory; a symlink is followed. Throws BadData for
// anything else, std::system_error if it does not exist or is not readable.
SourceFile open_operand(const std::string& path);

// Opens `name` in the directory `dir`. Throws Refused if it no longer exists or is no longer a
// regular file, because a process then changes the source; std::system_error.
SourceFile open_source(int dir, const std::string& name, const std::string& path);

// Throws Refused: an entry that was listed no longer exists, or has another type now.
[[noreturn]] void throw_went_away(const std::string& path);

// Throws Refused if size or times have changed since it was opened. The message names a process
// that has it open for writing.
void require_unchanged(const SourceFile& src);

// Returns whether size or modification time have changed since it was opened. Throws
// std::system_error.
bool is_modified(const SourceFile& src);

// Returns "; process 12 (firecracker) has it open for writing", or "" if no such process is
// visible.
std::string writers_text(const SourceFile& src);

}  // namespace cloning
