// SPDX-License-Identifier: Apache-2.0
// Reads ranges into the page cache one after the other: each read is large, and they are sorted.
#include "hot/warm.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "base/error.h"
#include "base/file_status.h"
#include "base/residency_access.h"

namespace hot {
namespace {

constexpr uint64_t kRead = uint64_t{1} << 20U;

}  // namespace

WarmFile::WarmFile(const std::string& path)
    : path_(path), fd_(base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY)) {
  const auto size = static_cast<size_t>(base::stat_fd(fd_.get(), path).st_size);
  void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd_.get(), 0);
  if (mapped == MAP_FAILED) {
    base::throw_errno("cannot map " + base::quoted(path));
  }
  mapped_ = {static_cast<const std::byte*>(mapped), size};
  ::madvise(mapped, size, MADV_RANDOM);
}

WarmFile::~WarmFile() {
  ::munmap(const_cast<std::byte*>(mapped_.data()), mapped_.size());
}

// Without permission to know, no page counts as cached, so that it is read.
uint64_t WarmFile::cached_pages(const FileRange& range) const {
  if (!base::may_use_mincore(fd_.get())) {
    return 0;
  }
  std::vector<unsigned char> cached((range.end - range.begin + kSmallPage - 1) / kSmallPage);
  if (::mincore(const_cast<std::byte*>(mapped_.data() + range.begin), range.end - range.begin,
                cached.data()) != 0) {
    base::throw_errno("cannot read the residency of " + base::quoted(path_));
  }
  return static_cast<uint64_t>(
      std::ranges::count_if(cached, [](unsigned char page) { return (page & 1U) != 0; }));
}

Warmed WarmFile::warm(std::span<const FileRange> ranges) const {
  Warmed warmed;
  std::vector<std::byte> buffer(kRead);
  for (const FileRange& range : ranges) {
    const uint64_t pages = (range.end - range.begin + kSmallPage - 1) / kSmallPage;
    const uint64_t cached = cached_pages(range);
    warmed.pages += pages;
    warmed.cached += cached;
    for (uint64_t at = range.begin; cached < pages && at < range.end;) {
      const size_t got =
          base::pread_full(fd_.get(), std::span(buffer).first(std::min(kRead, range.end - at)),
                           static_cast<off_t>(at), path_);
      if (got == 0) {
        throw base::BadData("cannot read " + base::quoted(path_) + ": it was truncated");
      }
      at += got;
      warmed.bytes_read += got;
    }
  }
  return warmed;
}

uint64_t WarmFile::drop(std::span<const FileRange> ranges) const {
  uint64_t pages = 0;
  for (const FileRange& range : ranges) {
    pages += cached_pages(range);
    const int error =
        ::posix_fadvise(fd_.get(), static_cast<off_t>(range.begin),
                        static_cast<off_t>(range.end - range.begin), POSIX_FADV_DONTNEED);
    if (error != 0) {
      base::throw_error_number(error, "cannot drop pages of " + base::quoted(path_));
    }
  }
  return pages;
}

void WarmFile::lock(std::span<const FileRange> ranges) const {
  for (const FileRange& range : ranges) {
    if (::mlock(mapped_.data() + range.begin, range.end - range.begin) != 0) {
      base::throw_errno("cannot lock pages of " + base::quoted(path_));
    }
  }
}

}  // namespace hot
