// SPDX-License-Identifier: Apache-2.0
// Copying a file's data and not its holes; turning zeros into holes.
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
  keep,  // data that is zero stays data, as in the source
  dig,   // runs of zeros that are worth it become holes (zero_runs.h)
};

struct CopyResult {
  int64_t copied = 0;
  int64_t dug = 0;  // data that became holes
};

// What the file takes on the disk, at most its length.
int64_t allocated_bytes(const struct stat& st);

// How a copy is made, and who is told how far it is.
struct CopyOptions {
  Zeros zeros;
  int jobs;  // threads
  Progress& progress;
};

// Makes `dst` (new and empty, open for writing) `st.st_size` bytes long and copies the data of
// `src` into it; with Zeros::dig, zeros are looked for in each piece of kPiece for itself. Throws
// base::Error (exit status 5) when the space there is too small, before the first byte; Refused
// when the source gets shorter meanwhile; std::system_error.
CopyResult sparse_copy(int src, const struct stat& st, int dst, const CopyOptions& options,
                       std::string_view src_path, std::string_view dst_path);

// Copies everything up to the end of the file, whatever length the filesystem reports: files of
// /proc, and of some FUSE filesystems, have the length 0 and contents. Returns the bytes. Throws
// std::system_error.
int64_t stream_copy(int src, int dst, std::string_view src_path, std::string_view dst_path);

// Throws when the contents may be others than those that were read.
using RequireSteady = std::function<void()>;

// Where `src` has zeros that are worth a hole (zero_runs.h) in `dst`, which has the same contents
// and `size` bytes, and extents of its own already; the two may be one descriptor. Calls
// `require_steady` after each piece. Throws what that throws; Refused when `src` is too short;
// std::system_error.
std::vector<file::Range> holes_to_dig(int src, int dst, off_t size, int jobs, Progress& progress,
                                      std::string_view path, const RequireSteady& require_steady);

// Punches these holes, each after a call of `require_steady`. Contents never change, so that it may
// end at any point. Throws Unsupported where the filesystem has no holes; std::system_error.
void dig_holes(int dst, std::span<const file::Range> holes, off_t size, std::string_view path,
               const RequireSteady& require_steady);

int64_t bytes_of(std::span<const file::Range> ranges);

// Throws base::Error (exit status 5) when the filesystem of `dst` has not `needed` bytes free.
void check_space(int dst, int64_t needed, std::string_view dst_path);

}  // namespace cloning
