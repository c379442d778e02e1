// SPDX-License-Identifier: Apache-2.0
// The file that is cloned, as it was when it was opened.
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
  std::optional<int64_t> defragged = std::nullopt;  // extents that it had before it was rewritten
};

// Opens what is to be cloned, a regular file or a directory; a symlink is followed. Throws BadData
// for anything else, std::system_error when it is missing or unreadable.
SourceFile open_operand(const std::string& path);

// Opens `name` in the directory `dir`. Throws Refused when it has vanished or is no regular file
// any more: somebody changes the source; std::system_error.
SourceFile open_source(int dir, const std::string& name, const std::string& path);

// Throws Refused: an entry that was listed is not there any more, or is something else now.
[[noreturn]] void throw_went_away(const std::string& path);

// Throws Refused when size or times are not those of when it was opened, naming who has it open for
// writing.
void require_unchanged(const SourceFile& src);

// Whether size or modification time are not those of when it was opened. Throws std::system_error.
bool is_modified(const SourceFile& src);

// "; PID 12 (firecracker) has it open for writing", or "" when nobody is seen to have.
std::string writers_text(const SourceFile& src);

}  // namespace cloning
