// SPDX-License-Identifier: Apache-2.0
// The oracle of pager-model: the expected value of each word of guest memory.
#pragma once

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "pager/kernel/uffd.h"
#include "pager/probe/memory.h"

// A word that has a wrong value.
struct WrongWord {
  uint64_t page = 0;
  uint64_t word = 0;
  uint64_t expected = 0;
  uint64_t found = 0;
};

// Guest memory and its shadow, which starts as the memory file and follows each write and removal.
// Thread-safe. A thread that changes memory holds the locks of its blocks and sets an odd version
// during the change. A thread that reads holds no lock, so that reads and changes meet in the page
// server; it uses what it read only if the version did not change.
class ModelMemory {
 public:
  ModelMemory(const pager::MemoryFile& file, const pager::GuestMemory& guest)
      : guest_(guest),
        words_per_page_(file.page_size() / sizeof(uint64_t)),
        pages_per_block_(file.page_size() == hot::kSmallPage ? 16 : 1),
        pages_(file.pages()),
        shadow_(file.bytes() / sizeof(uint64_t)),
        blocks_((pages_ + pages_per_block_ - 1) / pages_per_block_) {
    file.read(0, std::as_writable_bytes(std::span(shadow_)));
  }

  uint64_t pages() const { return pages_; }
  uint64_t words_per_page() const { return words_per_page_; }
  const pager::GuestMemory& guest() const { return guest_; }

  // Reads words `first`, `first` + `stride`, ... of a page.
  std::optional<WrongWord> read(uint64_t page, uint64_t first, uint64_t stride) {
    const Block& block = blocks_[page / pages_per_block_];
    for (uint64_t word = first; word < words_per_page_; word += stride) {
      const uint64_t before = block.version.load(std::memory_order_acquire);
      const uint64_t expected = shadow(page, word).load(std::memory_order_relaxed);
      const uint64_t found = at(page, word).load(std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_acquire);
      const uint64_t after = block.version.load(std::memory_order_relaxed);
      if (found != expected && before == after && before % 2 == 0) {
        return WrongWord{.page = page, .word = word, .expected = expected, .found = found};
      }
    }
    return std::nullopt;
  }

  void write(uint64_t page, uint64_t word, uint64_t value) {
    const Change change(*this, page, 1);
    at(page, word).store(value, std::memory_order_relaxed);
    shadow(page, word).store(value, std::memory_order_relaxed);
  }

  // Removes `count` pages of one region, as a balloon does. They are zero from then on.
  void remove(uint64_t page, uint64_t count) {
    const Change change(*this, page, count);
    if (::madvise(address(page), count * guest_.page_size(), MADV_DONTNEED) != 0) {
      base::throw_errno("cannot remove pages");
    }
    clear(page, count);
  }

  // Acts as a page server that ended between two calls: the page is installed correctly, but its
  // waiters are not woken. Does nothing if the page cannot be installed now or is present.
  void plant(int uffd, uint64_t page) {
    const std::lock_guard lock(blocks_[page / pages_per_block_].mutex);
    pager::uffd_copy(uffd, reinterpret_cast<uintptr_t>(address(page)),
                     std::as_bytes(std::span(shadow_)).data() + page * guest_.page_size(),
                     guest_.page_size(), pager::Wake::no);
  }

  // Replaces pages by memory that is not registered. Uses the system call directly, because
  // ThreadSanitizer treats mmap(3) as a write to the range, which other threads may read.
  void replace(uint64_t page, uint64_t count) {
    const Change change(*this, page, count);
    const int huge = guest_.page_size() == hot::kHugePage ? MAP_HUGETLB : 0;
    if (::syscall(SYS_mmap, address(page), count * guest_.page_size(), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED | huge, -1, 0) < 0) {
      base::throw_errno("cannot replace pages");
    }
    clear(page, count);
  }

 private:
  struct Block {
    std::mutex mutex;
    std::atomic<uint64_t> version{0};
  };

  class Change {
   public:
    Change(ModelMemory& memory, uint64_t page, uint64_t count)
        : blocks_(std::span(memory.blocks_)
                      .subspan(page / memory.pages_per_block_,
                               (page + count - 1) / memory.pages_per_block_ -
                                   page / memory.pages_per_block_ + 1)) {
      for (Block& block : blocks_) {  // always in the same order
        block.mutex.lock();
        block.version.fetch_add(1, std::memory_order_seq_cst);
      }
    }
    ~Change() {
      for (Block& block : blocks_) {
        block.version.fetch_add(1, std::memory_order_seq_cst);
        block.mutex.unlock();
      }
    }
    Change(const Change&) = delete;
    Change(Change&&) = delete;
    Change& operator=(const Change&) = delete;
    Change& operator=(Change&&) = delete;

   private:
    std::span<Block> blocks_;
  };

  std::byte* address(uint64_t page) const {
    return guest_.address(static_cast<pager::PageNumber>(page));
  }
  std::atomic_ref<uint64_t> at(uint64_t page, uint64_t word) const {
    return std::atomic_ref(reinterpret_cast<uint64_t*>(address(page))[word]);
  }
  std::atomic_ref<uint64_t> shadow(uint64_t page, uint64_t word) {
    return std::atomic_ref(shadow_[page * words_per_page_ + word]);
  }
  void clear(uint64_t page, uint64_t count) {
    for (uint64_t i = page * words_per_page_; i < (page + count) * words_per_page_; ++i) {
      std::atomic_ref(shadow_[i]).store(0, std::memory_order_relaxed);
    }
  }

  const pager::GuestMemory& guest_;
  uint64_t words_per_page_;
  uint64_t pages_per_block_;
  uint64_t pages_;
  std::vector<uint64_t> shadow_;
  std::vector<Block> blocks_;
};
