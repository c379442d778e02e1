#include "clone/sparse_copy.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "clone/data_ranges.h"
#include "clone/reflink.h"
#include "clone/report.h"

namespace cloning {
namespace {

constexpr size_t kPiece = 1 << 20;
constexpr int64_t kBlockUnit = 512;  // of st_blocks, whatever the filesystem's block is

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

[[noreturn]] void throw_got_shorter(std::string_view path) {
  throw base::Refused("cannot read " + base::quoted(path) +
                      ": it got shorter meanwhile; run again when nobody writes to it");
}

// Calls use(offset, piece) for all data of a file, a piece of at most kPiece at a time. Pieces
// start on a multiple of kHoleBlock, unless the filesystem has smaller blocks.
template <typename Use>
void for_each_piece(int fd, off_t size, std::string_view path, Use use) {
  std::vector<std::byte> buffer(std::min(kPiece, static_cast<size_t>(size)));
  std::optional<Range> range = next_data(fd, 0, size, path);
  while (range) {
    for (off_t at = range->begin; at < range->end;) {
      const size_t wanted = std::min(kPiece, static_cast<size_t>(range->end - at));
      const std::span<std::byte> piece = std::span(buffer).first(wanted);
      if (base::pread_full(fd, piece, at, path) < wanted) {
        throw_got_shorter(path);
      }
      use(at, std::span<const std::byte>(piece));
      at += static_cast<off_t>(wanted);
    }
    range = next_data(fd, range->end, size, path);
  }
  // An end that was cut off looks like a hole.
  struct stat now {};
  if (::fstat(fd, &now) != 0) {
    base::throw_errno("cannot stat " + base::quoted(path));
  }
  if (now.st_size < size) {
    throw_got_shorter(path);
  }
}

// Collects runs of zeros that follow each other into one hole: punching costs microseconds a call.
class HolePuncher {
 public:
  HolePuncher(int fd, off_t size, std::string_view path) : fd_(fd), size_(size), path_(path) {}
  void add(off_t begin, off_t length) {
    if (begin != hole_.end) {
      punch();
      hole_.begin = begin;
    }
    hole_.end = begin + length;
  }
  // Ends the last hole; returns all bytes dug.
  int64_t finish() {
    punch();
    return dug_;
  }

 private:
  void punch() {
    const off_t length = hole_.end - hole_.begin;
    if (length == 0) {
      return;
    }
    // A last block that the file fills in part only is given back when the hole covers all of it.
    const off_t beyond = hole_.end == size_ ? static_cast<off_t>(kHoleBlock) : 0;
    if (::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, hole_.begin,
                    length + beyond) != 0) {
      if (errno == EOPNOTSUPP) {
        throw base::Unsupported("cannot dig holes into " + base::quoted(path_) +
                                ": the filesystem has none");
      }
      throw_with_advice(errno, "cannot dig holes into " + base::quoted(path_));
    }
    dug_ += length;
    hole_.begin = hole_.end;
  }

  int fd_;
  off_t size_;
  std::string path_;
  Range hole_{.begin = 0, .end = 0};
  int64_t dug_ = 0;
};

}  // namespace

int64_t allocated_bytes(const struct stat& st) {
  return std::min<int64_t>(st.st_size, st.st_blocks * kBlockUnit);
}

CopyResult sparse_copy(int src, const struct stat& st, int dst, Zeros zeros, Progress& progress,
                       std::string_view src_path, std::string_view dst_path) {
  CopyResult result;
  const int64_t allocated = allocated_bytes(st);
  if (zeros == Zeros::keep) {
    check_space(dst, allocated, dst_path);
  }
  if (::ftruncate(dst, st.st_size) != 0) {
    throw_with_advice(errno, "cannot make " + base::quoted(dst_path) + " " +
                                 std::to_string(st.st_size) + " bytes long");
  }
  progress.begin(dst_path, allocated);
  const auto write = [&](off_t at, std::span<const std::byte> data) {
    try {
      base::pwrite_full(dst, data, at, dst_path);
    } catch (const std::system_error& error) {
      throw_with_advice(error.code().value(), "cannot write " + base::quoted(dst_path));
    }
    result.copied += static_cast<int64_t>(data.size());
  };
  for_each_piece(src, st.st_size, src_path, [&](off_t at, std::span<const std::byte> piece) {
    progress.add(static_cast<int64_t>(piece.size()));
    if (zeros == Zeros::keep) {
      write(at, piece);
      return;
    }
    while (!piece.empty()) {
      const BlockRun run = first_run(piece);
      if (run.zero) {
        result.dug += static_cast<int64_t>(run.length);
      } else {
        write(at, piece.first(run.length));
      }
      at += static_cast<off_t>(run.length);
      piece = piece.subspan(run.length);
    }
  });
  return result;
}

int64_t dig_holes(int src, int dst, off_t size, Progress& progress, std::string_view path) {
  struct stat st {};
  if (::fstat(src, &st) != 0) {
    base::throw_errno("cannot stat " + base::quoted(path));
  }
  progress.begin(path, allocated_bytes(st));
  HolePuncher holes(dst, size, path);
  for_each_piece(src, size, path, [&](off_t at, std::span<const std::byte> piece) {
    progress.add(static_cast<int64_t>(piece.size()));
    while (!piece.empty()) {
      const BlockRun run = first_run(piece);
      if (run.zero) {
        holes.add(at, static_cast<off_t>(run.length));
      }
      at += static_cast<off_t>(run.length);
      piece = piece.subspan(run.length);
    }
  });
  return holes.finish();
}

}  // namespace cloning
