// SPDX-License-Identifier: Apache-2.0
// Memory that a benchmark fills through a userfaultfd.
#pragma once

#include <sys/mman.h>

#include <cstdint>

#include "base/error.h"
#include "base/fd.h"
#include "hot/region.h"
#include "pager/kernel/uffd.h"

// Empty guest memory of the size of an image, in this process.
class Memory {
 public:
  explicit Memory(uint64_t size, uint64_t page_size = hot::kSmallPage)
      : size_(size), page_size_(page_size), uffd_(pager::uffd_create()) {
    const int huge = page_size == hot::kSmallPage ? 0 : MAP_HUGETLB;
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | huge, -1, 0);
    if (memory == MAP_FAILED) {
      base::throw_errno("cannot map memory");
    }
    base_ = reinterpret_cast<uint64_t>(memory);
    pager::uffd_register_missing(uffd_.get(), base_, size);
  }
  ~Memory() { ::munmap(reinterpret_cast<void*>(base_), size_); }
  Memory(const Memory&) = delete;
  Memory(Memory&&) = delete;
  Memory& operator=(const Memory&) = delete;
  Memory& operator=(Memory&&) = delete;

  int uffd() const { return uffd_.get(); }
  hot::Region region() const {
    return {.base = base_, .size = size_, .offset = 0, .page_size = page_size_};
  }

 private:
  uint64_t size_;
  uint64_t page_size_;
  base::Fd uffd_;
  uint64_t base_ = 0;
};
