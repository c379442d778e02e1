// SPDX-License-Identifier: Apache-2.0
// Reads the data of a memory file once, skips its holes, and feeds the digest and the zero map.
#include "meta/image/image_scan.h"

#include <fcntl.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <vector>

// The hash is compiled in, so that the program does not load the library at each start.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/hex.h"
#include "base/is_zero.h"
#include "base/little_endian.h"
#include "file/next_data.h"
#include "hot/region.h"

namespace meta {
namespace {

constexpr size_t kReadBytes = size_t{4} << 20U;

// Computes ImageScan::digest. The caller feeds it in the order of the file.
class Digest {
 public:
  Digest() { XXH3_128bits_reset(&state_); }

  // Adds `bytes` at `offset`, which are not zero. end_run adds offset and length when the run ends.
  void add(uint64_t offset, std::span<const std::byte> bytes) {
    if (offset != run_end_) {
      end_run();
      run_start_ = offset;
    }
    XXH3_128bits_update(&state_, bytes.data(), bytes.size());
    run_end_ = offset + bytes.size();
  }

  std::string finish() {
    end_run();
    const XXH128_hash_t hash = XXH3_128bits_digest(&state_);
    return "xxh3-128:" + base::hex_text(hash.high64, 16) + base::hex_text(hash.low64, 16);
  }

 private:
  void end_run() {
    if (run_end_ != kNone) {
      add_number(run_start_);
      add_number(run_end_ - run_start_);
    }
  }
  void add_number(uint64_t number) {
    std::string bytes;
    base::append_little_endian(bytes, number, sizeof number);
    XXH3_128bits_update(&state_, bytes.data(), bytes.size());
  }

  static constexpr uint64_t kNone = UINT64_MAX;
  XXH3_state_t state_{};
  uint64_t run_start_ = 0;
  uint64_t run_end_ = kNone;
};

uint64_t pages_up(uint64_t bytes) {
  return (bytes + hot::kSmallPage - 1) / hot::kSmallPage;
}

class Scanner {
 public:
  Scanner(int fd, std::string_view name)
      : name_(name), size_(base::stat_fd(fd, name).st_size), fd_(fd), buffer_(kReadBytes) {}

  ImageScan run() {
    off_t at = 0;
    while (at < size_) {
      const auto [start, end] = file::next_data(fd_, at, size_, name_)
                                    .value_or(file::ByteRange{.begin = size_, .end = size_});
      // On a filesystem with blocks smaller than a page, a hole may start inside a page.
      const off_t page_start = start / kPage * kPage;
      if (page_start > at) {
        add_zeros(at, page_start);
        at = page_start;
      }
      const off_t page_end = std::min(size_, (end + kPage - 1) / kPage * kPage);
      while (at < page_end) {
        at += read_piece(at, page_end);
      }
    }
    if (base::stat_fd(fd_, name_).st_size != size_) {
      throw base::BadData("cannot read " + base::quoted(name_) +
                          ": its size changed while it was read");
    }
    scan_.bytes = static_cast<uint64_t>(size_);
    scan_.digest = digest_.finish();
    return std::move(scan_);
  }

 private:
  static constexpr off_t kPage = hot::kSmallPage;

  void add_zeros(off_t from, off_t to) {
    scan_.zeros.add(static_cast<uint64_t>(from) / hot::kSmallPage,
                    pages_up(static_cast<uint64_t>(to - from)));
  }

  // Reads up to kReadBytes from `at` on. Returns the number of bytes.
  off_t read_piece(off_t at, off_t end) {
    const auto wanted = static_cast<size_t>(std::min(end - at, static_cast<off_t>(buffer_.size())));
    const size_t got = base::pread_full(fd_, std::span(buffer_).first(wanted), at, name_);
    if (got < wanted) {
      throw base::BadData("cannot read " + base::quoted(name_) +
                          ": its size changed while it was read");
    }
    const std::span<const std::byte> piece = std::span(buffer_).first(got);
    // Adjacent data pages go into the digest in one call.
    size_t data_from = 0;
    for (size_t page = 0; page < got; page += hot::kSmallPage) {
      const size_t length = std::min<size_t>(hot::kSmallPage, got - page);
      if (!base::is_zero(piece.subspan(page, length))) {
        ++scan_.data_pages;
        continue;
      }
      add_data(at, piece, data_from, page);
      data_from = page + length;
      add_zeros(at + static_cast<off_t>(page), at + static_cast<off_t>(page + length));
    }
    add_data(at, piece, data_from, got);
    return static_cast<off_t>(got);
  }

  void add_data(off_t at, std::span<const std::byte> piece, size_t from, size_t to) {
    if (from < to) {
      digest_.add(static_cast<uint64_t>(at) + from, piece.subspan(from, to - from));
    }
  }

  Digest digest_;  // first, because it is aligned for vector instructions
  std::string name_;
  off_t size_;
  int fd_;
  std::vector<std::byte> buffer_;
  ImageScan scan_;
};

}  // namespace

ImageScan scan_image(int fd, std::string_view name) {
  // This is only a hint. If it fails, the file is read without it.
  static_cast<void>(::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
  return Scanner(fd, name).run();
}

}  // namespace meta
