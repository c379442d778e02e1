// SPDX-License-Identifier: Apache-2.0
// Makes a memory file and guest memory with a real userfaultfd in this process.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <future>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "hot/region.h"
#include "pager/kernel/uffd.h"

namespace pager {

// The first word of page `number` of a test's memory file; never 0.
inline uint64_t page_word(uint64_t number) {
  return (number + 1) * 0x9e3779b97f4a7c15;
}

// Writes a memory file of `pages` 4 KiB pages, each filled with its page_word, except `holes`.
inline void write_memory_file(const std::string& path, uint64_t pages,
                              const std::set<uint64_t>& holes = {}) {
  const base::Fd fd = base::open_file(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (::ftruncate(fd.get(), static_cast<off_t>(pages * hot::kSmallPage)) != 0) {
    base::throw_errno("cannot make " + path);
  }
  std::vector<uint64_t> page(hot::kSmallPage / sizeof(uint64_t));
  for (uint64_t i = 0; i < pages; ++i) {
    if (!holes.contains(i)) {
      std::fill(page.begin(), page.end(), page_word(i));
      base::pwrite_full(fd.get(), std::as_bytes(std::span(page)),
                        static_cast<off_t>(i * hot::kSmallPage), path);
    }
  }
}

// Polls until `condition` is true; returns false after a minute.
inline bool wait_for_true(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

// Anonymous memory whose missing pages a userfaultfd reports, like that of a VMM. A touch of a
// missing page blocks until it is served, so touch from another thread.
class TestGuest {
 public:
  // `at`: replaces what is mapped there; null: anywhere. Throws base::Unsupported if this machine
  // has no userfaultfd or no free 2 MiB page.
  explicit TestGuest(uint64_t pages, uint64_t page_size = hot::kSmallPage, void* at = nullptr)
      : size_(pages * page_size), page_size_(page_size), uffd_(uffd_create()) {
    const int huge = page_size == hot::kHugePage ? MAP_HUGETLB : 0;
    const int fixed = at != nullptr ? MAP_FIXED : 0;
    void* memory = ::mmap(at, size_, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | huge | fixed, -1, 0);
    if (memory == MAP_FAILED) {
      throw base::Unsupported("no 2 MiB pages here (vm.nr_hugepages)");
    }
    memory_ = static_cast<std::byte*>(memory);
    uffd_register_missing(uffd_.get(), base(), size_);
  }
  // If it is inlined, g++ 14 warns "maybe uninitialized" for an empty std::optional<TestGuest>.
  [[gnu::noinline]] ~TestGuest() { ::munmap(memory_, size_); }
  TestGuest(const TestGuest&) = delete;
  TestGuest(TestGuest&&) = delete;
  TestGuest& operator=(const TestGuest&) = delete;
  TestGuest& operator=(TestGuest&&) = delete;

  int uffd() const { return uffd_.get(); }
  uint64_t base() const { return reinterpret_cast<uint64_t>(memory_); }
  uint64_t address(uint64_t page) const { return base() + page * page_size_; }
  hot::Region region() const {
    return {.base = base(), .size = size_, .offset = 0, .page_size = page_size_};
  }

  // Reads the first word of a page, or another. Blocks if the page is missing.
  uint64_t word(uint64_t page, uint64_t index = 0) const {
    return *reinterpret_cast<const volatile uint64_t*>(memory_ + page * page_size_ +
                                                       index * sizeof(uint64_t));
  }
  // The same in another thread.
  std::future<uint64_t> touch(uint64_t page) const {
    return std::async(std::launch::async, [this, page] { return word(page); });
  }
  // Removes pages, as a balloon does. The result is ready when the removal was read and has
  // happened.
  std::future<bool> remove(uint64_t page, uint64_t count) const {
    return std::async(std::launch::async, [this, page, count] {
      return ::madvise(memory_ + page * page_size_, count * page_size_, MADV_DONTNEED) == 0;
    });
  }
  // Returns whether the page is poisoned: write(2) from it fails with EFAULT; a load would be
  // SIGBUS.
  bool is_poisoned(uint64_t page) const {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
      return false;
    }
    const base::Fd read_end(pipe[0]);
    const base::Fd write_end(pipe[1]);
    return ::write(write_end.get(), memory_ + page * page_size_, 8) < 0 && errno == EFAULT;
  }
  // Returns whether the kernel has the page.
  bool is_present(uint64_t page) const {
    unsigned char resident = 0;
    return ::mincore(memory_ + page * page_size_, hot::kSmallPage, &resident) == 0 &&
           (resident & 1U) != 0;
  }
  // The number of faults that are not read from the userfaultfd yet.
  int unread_faults() const {
    std::ifstream info("/proc/self/fdinfo/" + std::to_string(uffd()));
    std::string word;
    int count = -1;
    while (info >> word) {
      if (word == "pending:") {
        info >> count;
      }
    }
    return count;
  }
  bool wait_for_unread_faults(int count) const {
    return wait_for_true([&] { return unread_faults() == count; });
  }

 private:
  uint64_t size_;
  uint64_t page_size_;
  base::Fd uffd_;
  std::byte* memory_ = nullptr;
};

// Skips its tests on machines without userfaultfd.
class UserfaultfdTest : public testing::Test {
 protected:
  void SetUp() override {
    try {
      const TestGuest guest(1);
    } catch (const base::Unsupported& error) {
      GTEST_SKIP() << error.what();
    }
  }
};

}  // namespace pager
