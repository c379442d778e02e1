// SPDX-License-Identifier: Apache-2.0
// Reads memory files, and maps guest memory with Firecracker's layout.
#include "pager/probe/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/error.h"
#include "base/file_status.h"

namespace pager {
namespace {

uint64_t address_of(const std::byte* pointer) {
  return reinterpret_cast<uintptr_t>(pointer);
}

}  // namespace

MemoryFile::MemoryFile(const std::string& path, uint64_t page_size)
    : path_(path),
      page_size_(page_size),
      fd_(base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY)) {
  const struct stat st = base::stat_fd(fd_.get(), path);
  const std::string subject = "cannot use memory file " + base::quoted(path) + ": ";
  if (!S_ISREG(st.st_mode)) {
    throw base::BadData(subject + "it is not a regular file");
  }
  bytes_ = static_cast<uint64_t>(st.st_size);
  if (bytes_ == 0 || bytes_ % page_size != 0) {
    throw base::BadData(subject + std::to_string(bytes_) +
                        " bytes are not a positive multiple of " + std::to_string(page_size));
  }
  if (pages() > kMaxPages) {
    throw base::BadData(subject + "it has more than " + std::to_string(kMaxPages) + " pages");
  }
}

void MemoryFile::read(uint64_t offset, std::span<std::byte> buffer) const {
  if (base::pread_full(fd_.get(), buffer, static_cast<off_t>(offset), path_) < buffer.size()) {
    throw base::BadData("cannot verify bytes from offset " + std::to_string(offset) +
                        ": memory file " + base::quoted(path_) + " was truncated");
  }
}

GuestMemory::GuestMemory(uint64_t bytes, uint64_t page_size, size_t region_count)
    : page_size_(page_size),
      pages_per_region_(bytes / page_size / region_count),
      reserved_bytes_(bytes + (region_count + 1) * 2 * hot::kHugePage),
      // A jail has no /proc.
      pagemap_(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) {
  void* const reserved = ::mmap(nullptr, reserved_bytes_, PROT_NONE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) {
    base::throw_errno("cannot reserve " + std::to_string(reserved_bytes_) +
                      " bytes of address space");
  }
  reserved_ = static_cast<std::byte*>(reserved);
  const int huge = page_size == hot::kHugePage ? MAP_HUGETLB | (21 << MAP_HUGE_SHIFT) : 0;
  uint64_t top = address_of(reserved_) + reserved_bytes_;
  uint64_t offset = 0;
  for (size_t i = 0; i < region_count; ++i) {
    const uint64_t size = i + 1 == region_count ? bytes - offset : pages_per_region_ * page_size;
    // Round down to a multiple of 2 MiB that leaves an unmapped range below the previous region.
    const uint64_t base = (top - hot::kHugePage - size) & ~(hot::kHugePage - 1);
    if (::mmap(pointer_to(base), size, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED | huge, -1,
               0) == MAP_FAILED) {
      const int error = errno;
      ::munmap(reserved_, reserved_bytes_);
      base::throw_error_number(error, "cannot map " + std::to_string(size) + " bytes of memory");
    }
    regions_.push_back({.base = base, .size = size, .offset = offset, .page_size = page_size});
    offset += size;
    top = base;
  }
}

GuestMemory::~GuestMemory() {
  ::munmap(reserved_, reserved_bytes_);
}

std::byte* GuestMemory::pointer_to(uint64_t address) const {
  return reserved_ + (address - address_of(reserved_));
}

size_t GuestMemory::region_of(PageNumber page) const {
  return std::min<uint64_t>(page / pages_per_region_, regions_.size() - 1);
}

std::byte* GuestMemory::address(PageNumber page) const {
  const hot::Region& region = regions_[region_of(page)];
  return pointer_to(region.base + (page * page_size_ - region.offset));
}

uint64_t GuestMemory::region_end(PageNumber page) const {
  const hot::Region& region = regions_[region_of(page)];
  return (region.offset + region.size) / page_size_;
}

bool GuestMemory::is_present(PageNumber page) const {
  // The pagemap has a 64-bit entry for each 4 KiB; bit 63: present
  // (Documentation/admin-guide/mm/pagemap.rst).
  uint64_t entry = 0;
  if (!pagemap_) {
    base::throw_error_number(ENOENT, "cannot open '/proc/self/pagemap'");
  }
  const auto at = static_cast<off_t>(address_of(address(page)) / hot::kSmallPage * sizeof entry);
  base::pread_full(pagemap_.get(), std::as_writable_bytes(std::span(&entry, 1)), at,
                   "/proc/self/pagemap");
  return (entry >> 63U) != 0;
}

}  // namespace pager
