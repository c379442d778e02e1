// SPDX-License-Identifier: Apache-2.0
// What happened in one VMM of a probe, written by that process and read by its parent.
#pragma once

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <optional>
#include <string>

#include "base/error.h"
#include "pager/probe/config.h"
#include "pager/probe/histogram.h"

namespace pager {

// A T in memory that stays shared with children after fork(2). What a child wrote is there whatever
// it died of: a probe's child may hang in a fault, or be killed.
template <typename T>
class Shared {
 public:
  Shared() {
    void* const place =
        ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) {
      base::throw_errno("cannot allocate shared memory");
    }
    value_ = new (place) T;
  }
  Shared(Shared&& other) noexcept : value_(other.value_) { other.value_ = nullptr; }
  Shared& operator=(Shared&&) = delete;
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() {
    if (value_ != nullptr) {
      value_->~T();
      ::munmap(static_cast<void*>(value_), sizeof(T));
    }
  }

  T& operator*() const { return *value_; }
  T* operator->() const { return value_; }

 private:
  T* value_ = nullptr;
};

// Why a child gave up, as an exception would say it. Written once.
class SharedFailure {
 public:
  void set(const std::exception& error);
  std::optional<base::Error> get() const;

 private:
  std::array<char, 512> message_{};
  base::ExitCode code_ = base::ExitCode::ok;
  std::atomic<bool> is_set_{false};
};

// A page that somebody waits for now; 0 stands for none.
class PageSlot {
 public:
  void set(PageNumber page) { value_.store(uint64_t{page} + 1, std::memory_order_relaxed); }
  void clear() { value_.store(0, std::memory_order_relaxed); }
  std::optional<PageNumber> get() const {
    const uint64_t value = value_.load(std::memory_order_relaxed);
    return value == 0 ? std::nullopt : std::optional(static_cast<PageNumber>(value - 1));
  }

 private:
  std::atomic<uint64_t> value_{0};
};

// The first byte of a page that is not what it must be.
struct Mismatch {
  PageNumber page = 0;
  uint64_t byte = 0;  // in the page
  unsigned expected = 0;
  unsigned found = 0;
};

struct VmmRecord {
  std::atomic<bool> finished{false};       // all that was to do is done
  std::atomic<bool> gave_up{false};        // the server had closed, and nothing came any more
  std::atomic<bool> server_closed{false};  // it closed the connection while the VMM lived
  std::atomic<bool> refused{false};        // it closed the connection of one that misbehaved
  std::atomic<bool> killed_itself{false};

  std::atomic<uint64_t> touched{0};      // first touches of pages
  std::atomic<uint64_t> faults{0};       // of these, pages that were not there yet
  std::atomic<uint64_t> wrong_pages{0};  // not the bytes of the file, or of an own write
  std::atomic<uint64_t> stale_pages{0};  // removed, and not zero
  std::atomic<uint64_t> removed_pages{0};
  std::atomic<uint64_t> looks{0};  // at pages, to verify them
  std::atomic<uint64_t> written_pages{0};
  std::atomic<uint64_t> total_ns{0};  // from the handshake to the last first touch
  Histogram latency;                  // of the faults

  std::array<PageSlot, kMaxJobs> waiting;  // what each job touches now
  PageSlot removing;                       // where madvise is at work now
  std::atomic<bool> has_mismatch{false};   // `first_mismatch` has been written
  Mismatch first_mismatch;
  SharedFailure failure;
};

}  // namespace pager
