// SPDX-License-Identifier: Apache-2.0
// The two sides of a verification: the memory of a probe's VMM, and the file that it must equal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "hot/region.h"
#include "pager/probe/order.h"

namespace pager {

// The memory file, whole pages long.
class MemoryFile {
 public:
  // Throws std::system_error, and base::BadData when it is no file of one or more pages of
  // `page_size` bytes.
  MemoryFile(const std::string& path, uint64_t page_size);

  const std::string& path() const { return path_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t page_size() const { return page_size_; }
  uint64_t pages() const { return bytes_ / page_size_; }
  // Fills `buffer`. Throws std::system_error, and base::BadData when the file has become shorter.
  void read(uint64_t offset, std::span<std::byte> buffer) const;
  // The same for a page; `buffer` has page_size() bytes.
  void read_page(PageNumber page, std::span<std::byte> buffer) const {
    read(page * page_size_, buffer);
  }

 private:
  std::string path_;
  uint64_t page_size_;
  base::Fd fd_;
  uint64_t bytes_ = 0;
};

// Anonymous memory of this process as Firecracker lays it out: private, not reserved, nothing
// present; regions at multiples of 2 MiB, each *below* the one before it, with unmapped gaps
// between, while their offsets in the file ascend.
class GuestMemory {
 public:
  // `bytes` of memory in `region_count` regions of about the same size (the last takes the rest).
  // With 2 MiB pages from the kernel's pool (MAP_HUGETLB). Throws std::system_error.
  GuestMemory(uint64_t bytes, uint64_t page_size, size_t region_count);
  GuestMemory(GuestMemory&&) = delete;
  GuestMemory& operator=(GuestMemory&&) = delete;
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;
  ~GuestMemory();

  const std::vector<hot::Region>& regions() const { return regions_; }
  uint64_t page_size() const { return page_size_; }
  // Where the page of that number in the file lies.
  std::byte* address(PageNumber page) const;
  // One more than the last page of the region that holds `page`.
  uint64_t region_end(PageNumber page) const;
  // Whether a touch of the page would not fault now, from /proc/self/pagemap. Throws
  // std::system_error.
  bool is_present(PageNumber page) const;

 private:
  size_t region_of(PageNumber page) const;
  std::byte* pointer_to(uint64_t address) const;

  uint64_t page_size_;
  uint64_t pages_per_region_;
  uint64_t reserved_bytes_;
  std::byte* reserved_;
  std::vector<hot::Region> regions_;
  base::Fd pagemap_;
};

}  // namespace pager
