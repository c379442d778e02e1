// SPDX-License-Identifier: Apache-2.0
// Populates page table entries of pages that mincore(2) reports as cached.
#include "pager/image/mapped_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>

#include "base/residency_access.h"

namespace pager {
namespace {

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14
#endif

void set(uint64_t& word, uint64_t bits) {
  std::atomic_ref(word).fetch_or(bits, std::memory_order_relaxed);
}

}  // namespace

MappedPages::MappedPages(std::span<const std::byte> mapping, int fd) : mapping_(mapping) {
  if (mapping.empty() || !base::may_use_mincore(fd)) {
    return;
  }
  const uint64_t blocks = (mapping.size() + kBlock - 1) / kBlock;
  const uint64_t words = blocks + (blocks + kBits - 1) / kBits;
  // Untouched parts use no memory.
  void* memory = ::mmap(nullptr, words * sizeof(uint64_t), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory != MAP_FAILED) {
    const std::span all(static_cast<uint64_t*>(memory), words);
    pages_ = all.first(blocks);
    wanted_ = all.subspan(blocks);
  }
}

MappedPages::~MappedPages() {
  if (!pages_.empty()) {
    ::munmap(pages_.data(), pages_.size_bytes() + wanted_.size_bytes());
  }
}

void MappedPages::note(uint64_t offset, uint64_t bytes) {
  if (pages_.empty()) {
    return;
  }
  const uint64_t end = (offset + bytes) / kPage;
  for (uint64_t page = offset / kPage; page < end;) {
    const uint64_t bit = page % kBits;
    const uint64_t count = std::min(kBits - bit, end - page);
    set(pages_[page / kBits], ~uint64_t{0} >> (kBits - count) << bit);
    page += count;
  }
}

void MappedPages::want(uint64_t offset) {
  if (!pages_.empty()) {
    const uint64_t block = offset / kBlock;
    set(wanted_[block / kBits], uint64_t{1} << block % kBits);
  }
}

void MappedPages::add(uint64_t offset) {
  const uint64_t block = offset / kBlock;
  if (pages_.empty() || !test(wanted_, block)) {
    return;
  }
  std::atomic_ref(wanted_[block / kBits])
      .fetch_and(~(uint64_t{1} << block % kBits), std::memory_order_relaxed);
  const std::span<const std::byte> all =
      mapping_.subspan(block * kBlock, std::min(kBlock, mapping_.size() - block * kBlock));
  auto* start = const_cast<std::byte*>(all.data());
  std::array<unsigned char, kBits> cached{};
  if (::mincore(start, all.size(), cached.data()) != 0) {
    return;
  }
  const uint64_t pages = all.size() / kPage;
  for (uint64_t page = 0; page < pages;) {
    uint64_t end = page;
    while (end < pages && (cached[end] & 1U) != 0) {
      ++end;
    }
    if (end > page &&
        ::madvise(start + page * kPage, (end - page) * kPage, MADV_POPULATE_READ) == 0) {
      note(block * kBlock + page * kPage, (end - page) * kPage);
    }
    page = end + 1;
  }
}

void MappedPages::add_wanted() {
  uint64_t left = (uint64_t{1} << 30U) / kBlock;
  for (uint64_t word = 0; word < wanted_.size(); ++word) {
    for (uint64_t bits = std::atomic_ref(wanted_[word]).load(std::memory_order_relaxed);
         bits != 0 && left > 0; bits &= bits - 1, --left) {
      add((word * kBits + static_cast<uint64_t>(std::countr_zero(bits))) * kBlock);
    }
  }
}

}  // namespace pager
