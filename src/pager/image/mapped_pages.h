// SPDX-License-Identifier: Apache-2.0
// The pages of a mapped image that have page table entries in this process.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pager {

// One COPY of a page from the mapping costs less than a read and a COPY if the page has a page
// table entry in this process, and more if it has none. This is a record of the entries, for all
// sessions of an image. If the kernel has removed an entry since, the COPY only takes longer.
//
// A fault never makes entries, because that takes 5 us for the 64 KiB that the kernel maps at once.
// Sessions make them where pages were read, while their guest waits for nothing: see add() and
// add_wanted(). Only pages in the page cache get entries, so that this reads nothing from the disk.
// Thread-safe.
class MappedPages {
 public:
  // For the mapping of the file `fd`, which must outlive this object. Records nothing if the
  // mapping is empty, or if the kernel does not tell this process which pages are cached.
  MappedPages(std::span<const std::byte> mapping, int fd);
  ~MappedPages();
  MappedPages(const MappedPages&) = delete;
  MappedPages(MappedPages&&) = delete;
  MappedPages& operator=(const MappedPages&) = delete;
  MappedPages& operator=(MappedPages&&) = delete;

  // The bytes that one call of add() maps: 64 pages, one word of the record.
  static constexpr uint64_t kBlock = uint64_t{256} << 10U;

  // Whether the page at an offset has an entry.
  bool has(uint64_t offset) const { return !pages_.empty() && test(pages_, offset / kPage); }
  // The pages of a range have entries: they were copied from the mapping.
  void note(uint64_t offset, uint64_t bytes);
  // The page at an offset was read for a fault, and has no entry.
  void want(uint64_t offset);
  // If the aligned block around an offset is wanted, gives entries to those of its pages that are
  // in the page cache. Takes about 15 us.
  void add(uint64_t offset);
  // The same for the wanted blocks, at most 1 GiB of them (60 ms).
  void add_wanted();

 private:
  static constexpr uint64_t kPage = 4096;
  static constexpr uint64_t kBits = 64;

  static bool test(std::span<uint64_t> words, uint64_t bit) {
    return ((std::atomic_ref(words[bit / kBits]).load(std::memory_order_relaxed) >> bit % kBits) &
            1U) != 0;
  }

  std::span<const std::byte> mapping_;
  // Bitmaps. All words are accessed as relaxed atomics. Empty: records nothing.
  std::span<uint64_t> pages_;   // that have entries
  std::span<uint64_t> wanted_;  // blocks in which pages were read
};

}  // namespace pager
