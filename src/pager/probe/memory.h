// SPDX-License-Identifier: Apache-2.0
// The memory of a probe's VMM, and the memory file that it must equal.
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

// The memory file. Its size is a multiple of the page size.
class MemoryFile {
 public:
  // Throws std::system_error, and base::BadData if the path is not a regular file of one or more
  // pages of `page_size` bytes.
  MemoryFile(const std::string& path, uint64_t page_size);

  const std::string& path() const { return path_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t page_size() const { return page_size_; }
  uint64_t pages() const { return bytes_ / page_size_; }
  // Fills `buffer`. Throws std::system_error, and base::BadData if the file was truncated.
  void read(uint64_t offset, std::span<std::byte> buffer) const;
  // Reads one page; `buffer` has page_size() bytes.
  void read_page(PageNumber page, std::span<std::byte> buffer) const {
    read(page * page_size_, buffer);
  }

 private:
  std::string path_;
  uint64_t page_size_;
  base::Fd fd_;
  uint64_t bytes_ = 0;
};

// Anonymous memory of this process with Firecracker's layout: private, not reserved, not populated.
// The regions are at multiples of 2 MiB, each *below* the previous one, separated by unmapped
// ranges, while their offsets in the file ascend.
class GuestMemory {
 public:
  // Maps `bytes` of memory in `region_count` regions of equal size; the last has the remainder. 2
  // MiB pages come from the kernel's pool (MAP_HUGETLB). Throws std::system_error.
  GuestMemory(uint64_t bytes, uint64_t page_size, size_t region_count);
  GuestMemory(GuestMemory&&) = delete;
  GuestMemory& operator=(GuestMemory&&) = delete;
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;
  ~GuestMemory();

  const std::vector<hot::Region>& regions() const { return regions_; }
  uint64_t page_size() const { return page_size_; }
  // The address of a page of the file.
  std::byte* address(PageNumber page) const;
  // The number of the first page after the region of `page`.
  uint64_t region_end(PageNumber page) const;
  // Returns, from /proc/self/pagemap, whether the page is present: a touch does not fault. Throws
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
