#include "clone/sparse_copy.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "clone/data_ranges.h"
#include "clone/extents.h"
#include "clone/reflink.h"
#include "clone/report.h"
#include "clone/zero_runs.h"

namespace cloning {
namespace {

constexpr int64_t kBlockUnit = 512;  // of st_blocks, whatever the filesystem's block is

struct stat stat_of(int fd, std::string_view path) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) {
    base::throw_errno("cannot stat " + base::quoted(path));
  }
  return st;
}

void write_data(int dst, std::span<const std::byte> data, off_t at, std::string_view dst_path) {
  try {
    base::pwrite_full(dst, data, at, dst_path);
  } catch (const std::system_error& error) {
    throw_with_advice(error.code().value(), "cannot write " + base::quoted(dst_path));
  }
}

void punch(int fd, const Range& hole, off_t size, std::string_view path) {
  // A last block that the file fills in part only is given back when the hole covers all of it.
  const off_t beyond = hole.end == size ? static_cast<off_t>(kHoleBlock) : 0;
  if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, hole.begin,
                  hole.end - hole.begin + beyond) != 0) {
    if (errno == EOPNOTSUPP) {
      throw base::Unsupported("cannot dig holes into " + base::quoted(path) +
                              ": the filesystem has none");
    }
    throw_with_advice(errno, "cannot dig holes into " + base::quoted(path));
  }
}

}  // namespace

void check_space(int dst, int64_t needed, std::string_view dst_path) {
  struct statvfs space {};
  if (::fstatvfs(dst, &space) != 0 || space.f_blocks == 0) {
    return;  // a filesystem that does not tell; writing will
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
    throw_with_advice(errno, "cannot make " + base::quoted(dst_path) + " " +
                                 std::to_string(st.st_size) + " bytes long");
  }
  options.progress.begin(dst_path, allocated);
  std::atomic<int64_t> copied = 0;
  std::atomic<int64_t> dug = 0;
  const auto copy = [&](off_t at, std::span<const std::byte> data) {
    if (!data.empty()) {
      write_data(dst, data, at, dst_path);
      copied += static_cast<int64_t>(data.size());
    }
  };
  const auto copy_around_zeros = [&](off_t begin, std::span<const std::byte> data) {
    ZeroRuns zeros;
    zeros.add(begin, data);
    off_t at = begin;
    for (const Range& hole : zeros.holes()) {
      copy(at, data.subspan(static_cast<size_t>(at - begin), static_cast<size_t>(hole.begin - at)));
      dug += hole.end - hole.begin;
      at = hole.end;
    }
    copy(at, data.subspan(static_cast<size_t>(at - begin)));
  };
  read_pieces(src, data_pieces(src, st.st_size, src_path), st.st_size, options.jobs, src_path,
              [&](off_t at, std::span<const std::byte> data) {
                if (options.zeros == Zeros::dig) {
                  copy_around_zeros(at, data);
                } else {
                  copy(at, data);
                }
                options.progress.add(static_cast<int64_t>(data.size()));
              });
  return {.copied = copied, .dug = dug};
}

DigResult dig_holes(int src, int dst, off_t size, int jobs, Progress& progress,
                    std::string_view path) {
  const struct stat before = stat_of(src, path);
  progress.begin(path, allocated_bytes(before));
  ZeroRuns zeros;
  read_pieces(src, data_pieces(src, size, path), size, jobs, path,
              [&](off_t at, std::span<const std::byte> data) {
                zeros.add(at, data);
                progress.add(static_cast<int64_t>(data.size()));
              });
  const struct stat after = stat_of(src, path);
  if (after.st_mtim.tv_sec != before.st_mtim.tv_sec ||
      after.st_mtim.tv_nsec != before.st_mtim.tv_nsec) {
    throw base::Refused("cannot dig holes into " + base::quoted(path) +
                        ": somebody writes to it; stop that first");
  }
  const int64_t cuts = count_extents(dst, path).value_or(1) - 1;  // that there are already
  const int64_t most = static_cast<int64_t>(kMostHoles) - std::max<int64_t>(cuts, 0);
  DigResult result;
  for (const Range& hole : zeros.holes(static_cast<size_t>(std::max<int64_t>(most, 0)))) {
    punch(dst, hole, size, path);
    result.dug += hole.end - hole.begin;
  }
  result.kept = zeros.zero_bytes() - result.dug;
  return result;
}

}  // namespace cloning
