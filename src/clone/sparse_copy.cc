// SPDX-License-Identifier: Apache-2.0
// Copies data by several threads; punches holes.
#include "clone/sparse_copy.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "clone/reflink.h"
#include "clone/report.h"
#include "file/data_ranges.h"
#include "file/extents.h"
#include "file/zero_runs.h"

namespace cloning {
namespace {

// A piece of this size stays in the cache of a core between reading and writing.
constexpr off_t kCopyPiece = 128 << 10;

// For shorter ranges, preallocation costs more than it saves.
constexpr off_t kWorthPreallocating = 128 << 10;

constexpr int64_t kBlockUnit = 512;  // of st_blocks, for every block size

void punch(int fd, const file::ByteRange& hole, off_t size, std::string_view path) {
  // A partial last block is only freed if the hole covers all of it.
  const off_t beyond = hole.end == size ? static_cast<off_t>(file::kHoleBlock) : 0;
  if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, hole.begin,
                  hole.end - hole.begin + beyond) != 0) {
    if (errno == EOPNOTSUPP) {
      throw base::Unsupported("cannot dig holes into " + base::quoted(path) +
                              ": the filesystem has none");
    }
    throw_with_advice(errno, "cannot dig holes into " + base::quoted(path));
  }
}

// One copy in progress. Several threads add to its result.
class SparseCopy {
 public:
  SparseCopy(int src, int dst, const CopyOptions& options, std::string_view src_path,
             std::string_view dst_path)
      : src_(src), dst_(dst), options_(options), src_path_(src_path), dst_path_(dst_path) {}

  CopyResult copy(off_t size) {
    const bool digs = options_.zeros == Zeros::dig;
    if (!digs) {
      preallocate(size);
    }
    const auto use = [&](off_t at, std::span<const std::byte> data) {
      if (digs) {
        write_around_zeros(at, data);
      } else {
        write(at, data);
      }
      options_.progress.add(static_cast<int64_t>(data.size()));
    };
    file::read_pieces(src_, file::data_of(src_, size, src_path_), size, options_.jobs, src_path_,
                      use, digs ? file::kPiece : kCopyPiece);
    return {.copied = copied_, .dug = dug_};
  }

 private:
  // ext4 reserves each written block separately unless it is allocated already; that is a third
  // of the time. XFS does not become faster, and btrfs would not compress data in such blocks.
  void preallocate(off_t size) {
    struct statfs fs {};
    if (::fstatfs(dst_, &fs) != 0 || fs.f_type != EXT4_SUPER_MAGIC) {
      return;
    }
    for (std::optional<file::ByteRange> range = file::next_data(src_, 0, size, src_path_); range;
         range = file::next_data(src_, range->end, size, src_path_)) {
      const off_t length = range->end - range->begin;
      if (length < kWorthPreallocating ||
          ::fallocate(dst_, FALLOC_FL_KEEP_SIZE, range->begin, length) == 0) {
        continue;
      }
      if (errno == ENOSPC || errno == EDQUOT || errno == EIO) {
        throw_with_advice(errno, "cannot write " + base::quoted(dst_path_));
      }
      return;  // a file without extents (ext2 format); a later write reports errors
    }
  }

  void write(off_t at, std::span<const std::byte> data) {
    if (data.empty()) {
      return;
    }
    try {
      base::pwrite_full(dst_, data, at, dst_path_);
    } catch (const std::system_error& error) {
      throw_with_advice(error.code().value(), "cannot write " + base::quoted(dst_path_));
    }
    copied_ += static_cast<int64_t>(data.size());
  }

  void write_around_zeros(off_t begin, std::span<const std::byte> data) {
    file::ZeroRuns zeros;
    zeros.add(begin, data);
    off_t at = begin;
    const auto write_until = [&](off_t end) {
      write(at, data.subspan(static_cast<size_t>(at - begin), static_cast<size_t>(end - at)));
    };
    for (const file::ByteRange& hole : zeros.holes()) {
      write_until(hole.begin);
      dug_ += hole.end - hole.begin;
      at = hole.end;
    }
    write_until(begin + static_cast<off_t>(data.size()));
  }

  int src_;
  int dst_;
  const CopyOptions& options_;
  std::string_view src_path_;
  std::string_view dst_path_;
  std::atomic<int64_t> copied_ = 0;
  std::atomic<int64_t> dug_ = 0;
};

}  // namespace

void check_space(int dst, int64_t needed, std::string_view dst_path) {
  struct statvfs space {};
  if (::fstatvfs(dst, &space) != 0 || space.f_blocks == 0) {
    return;  // the filesystem does not report it; a later write fails if it is full
  }
  const auto free_blocks = ::geteuid() == 0 ? space.f_bfree : space.f_bavail;
  const auto free_bytes = static_cast<int64_t>(free_blocks * space.f_frsize);
  if (needed > free_bytes) {
    throw_with_advice(ENOSPC, "cannot copy to " + base::quoted(dst_path) + ": it needs " +
                                  human_bytes(needed) + ", " + human_bytes(free_bytes) +
                                  " are free");
  }
}

int64_t allocated_bytes(const struct stat& st) {
  return std::min<int64_t>(st.st_size, st.st_blocks * kBlockUnit);
}

CopyResult sparse_copy(int src, const struct stat& st, int dst, const CopyOptions& options,
                       std::string_view src_path, std::string_view dst_path) {
  const int64_t allocated = allocated_bytes(st);
  if (options.zeros == Zeros::keep) {
    check_space(dst, allocated, dst_path);
  }
  if (::ftruncate(dst, st.st_size) != 0) {
    throw_with_advice(errno, "cannot extend " + base::quoted(dst_path) + " " +
                                 std::to_string(st.st_size) + " bytes long");
  }
  options.progress.begin(dst_path, allocated);
  return SparseCopy(src, dst, options, src_path, dst_path).copy(st.st_size);
}

int64_t stream_copy(int src, int dst, std::string_view src_path, std::string_view dst_path) {
  std::array<std::byte, kCopyPiece> piece{};
  for (off_t at = 0;;) {
    const size_t got = base::pread_full(src, piece, at, src_path);
    base::pwrite_full(dst, std::span(piece).first(got), at, dst_path);
    at += static_cast<off_t>(got);
    if (got < piece.size()) {
      return at;
    }
  }
}

std::vector<file::ByteRange> holes_to_dig(int src, int dst, off_t size, int jobs,
                                          Progress& progress, std::string_view path,
                                          const RequireSteady& require_steady) {
  progress.begin(path, allocated_bytes(base::stat_fd(src, path)));
  file::ZeroRuns zeros;
  file::read_pieces(src, file::data_of(src, size, path), size, jobs, path,
                    [&](off_t at, std::span<const std::byte> data) {
                      zeros.add(at, data);
                      require_steady();
                      progress.add(static_cast<int64_t>(data.size()));
                    });
  const int64_t cuts =
      file::count_extents(dst, file::Flush::no, path).value_or(1) - 1;  // existing ones
  const int64_t most = static_cast<int64_t>(file::kMostHoles) - std::max<int64_t>(cuts, 0);
  return zeros.holes(static_cast<size_t>(std::max<int64_t>(most, 0)));
}

void dig_holes(int dst, std::span<const file::ByteRange> holes, off_t size, std::string_view path,
               const RequireSteady& require_steady) {
  for (const file::ByteRange& hole : holes) {
    require_steady();
    punch(dst, hole, size, path);
  }
}

int64_t bytes_of(std::span<const file::ByteRange> ranges) {
  int64_t bytes = 0;
  for (const file::ByteRange& range : ranges) {
    bytes += range.end - range.begin;
  }
  return bytes;
}

}  // namespace cloning
