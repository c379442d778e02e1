// Copying a file's data and not its holes; turning zeros into holes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string_view>

#include "clone/progress.h"

namespace cloning {

enum class Zeros {
  keep,  // data that is zero stays data, as in the source
  dig,   // blocks that are zero become holes
};

struct CopyResult {
  int64_t copied = 0;
  int64_t dug = 0;  // data that became holes
};

// What the file takes on the disk, at most its length.
int64_t allocated_bytes(const struct stat& st);

// Makes `dst` (new and empty, open for writing) `st.st_size` bytes long and copies the data of
// `src` into it, reading and writing: copy_file_range fills holes on ext4, and shares blocks on XFS
// and btrfs where nobody asked for it. Throws base::Error (exit status 5) when the space there is
// plainly too small, before the first byte; Refused when the source gets shorter meanwhile;
// std::system_error.
CopyResult sparse_copy(int src, const struct stat& st, int dst, Zeros zeros, Progress& progress,
                       std::string_view src_path, std::string_view dst_path);

// Punches a hole into `dst` wherever `src`, of the same contents and `size` bytes, has data that is
// zero; the two may be one descriptor. Returns the bytes dug. Contents never change, so that it may
// end at any point. Throws Unsupported where the filesystem has no holes, std::system_error.
int64_t dig_holes(int src, int dst, off_t size, Progress& progress, std::string_view path);

}  // namespace cloning
