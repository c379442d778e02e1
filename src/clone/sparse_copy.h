// SPDX-License-Identifier: Apache-2.0
// Copies a file's data without its holes; turns zeros into holes.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "clone/progress.h"
#include "file/data_ranges.h"

namespace cloning {

enum class Zeros {
  keep,  // zeros that are data stay data, as in the source
  dig,   // runs of zeros that are worth it become holes (zero_runs.h)
};

struct CopyResult {
  int64_t copied = 0;
  int64_t dug = 0;  // data that became holes
};

// Returns the allocated bytes of the file, at most its length.
int64_t allocated_bytes(const struct stat& st);

// Options of a copy, and the receiver of its progress.
struct CopyOptions {
  Zeros zeros;
  int jobs;  // threads
  Progress& progress;
};

// Makes `dst` (new and empty, open for writing) `st.st_size` bytes long and copies the data of
// `src` into it. With Zeros::dig, zeros are searched in each piece of kPiece separately. Throws
// base::Error (exit status 5), before the first byte is written, if the destination has too little
// free space; Refused if the source becomes shorter; std::system_error.
CopyResult sparse_copy(int src, const struct stat& st, int dst, const CopyOptions& options,
                       std::string_view src_path, std::string_view dst_path);

// Copies everything up to the end of the file, whatever length the filesystem reports: files in
// /proc and in some FUSE filesystems report length 0 but have contents. Returns the number of
// bytes. Throws std::system_error.
int64_t stream_copy(int src, int dst, std::string_view src_path, std::string_view dst_path);

// Throws if the contents may differ from those that were read.
using RequireSteady = std::function<void()>;

// Returns the zeros of `src` that are worth a hole (zero_runs.h) in `dst`. `dst` has the same
// contents, `size` bytes, and its own extents; both may be the same descriptor. Calls
// `require_steady` after each piece. Throws what that throws; Refused if `src` is too short;
// std::system_error.
std::vector<file::ByteRange> holes_to_dig(int src, int dst, off_t size, int jobs,
                                          Progress& progress, std::string_view path,
                                          const RequireSteady& require_steady);

// Punches these holes and calls `require_steady` before each one. The contents never change, so it
// may stop at any point. Throws Unsupported if the filesystem has no holes; std::system_error.
void dig_holes(int dst, std::span<const file::ByteRange> holes, off_t size, std::string_view path,
               const RequireSteady& require_steady);

int64_t bytes_of(std::span<const file::ByteRange> ranges);

// Throws base::Error (exit status 5) if the filesystem of `dst` has fewer than `needed` free bytes.
void check_space(int dst, int64_t needed, std::string_view dst_path);

}  // namespace cloning
