// SPDX-License-Identifier: Apache-2.0
// The results of one VMM of a probe, in memory that its process and the parent share.
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

// A T in memory that stays shared with children after fork(2). What a child wrote remains readable
// after the child was killed.
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

// The message and exit code of an exception in a child. Written once.
class SharedFailure {
 public:
  void set(const std::exception& error);
  std::optional<base::Error> get() const;

 private:
  std::array<char, 512> message_{};
  base::ExitCode code_ = base::ExitCode::ok;
  std::atomic<bool> is_set_{false};
};

// The page that a thread waits for now, plus 1; 0: none.
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

// The first wrong byte of a page.
struct Mismatch {
  PageNumber page = 0;
  uint64_t byte = 0;  // in the page
  unsigned expected = 0;
  unsigned found = 0;
};

struct VmmRecord {
  std::atomic<bool> finished{false};       // everything was done
  std::atomic<bool> gave_up{false};        // the server closed, and progress stopped
  std::atomic<bool> server_closed{false};  // the server closed the connection during the run
  std::atomic<bool> refused{false};        // the server closed a misbehaving connection
  std::atomic<bool> killed_itself{false};

  std::atomic<uint64_t> touched{0};      // first touches of pages
  std::atomic<uint64_t> faults{0};       // of these, pages that were not present
  std::atomic<uint64_t> wrong_pages{0};  // neither the file's bytes nor this VMM's own writes
  std::atomic<uint64_t> stale_pages{0};  // removed, but not zero
  std::atomic<uint64_t> removed_pages{0};
  std::atomic<uint64_t> looks{0};  // verifications of pages
  std::atomic<uint64_t> written_pages{0};
  std::atomic<uint64_t> total_ns{0};  // from the handshake to the last first touch
  Histogram latency;                  // of the faults

  std::array<PageSlot, kMaxJobs> waiting;  // the page that each job touches now
  PageSlot removing;                       // the page that madvise removes now
  std::atomic<bool> has_mismatch{false};   // `first_mismatch` is valid
  Mismatch first_mismatch;
  SharedFailure failure;
};

}  // namespace pager
