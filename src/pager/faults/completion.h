// SPDX-License-Identifier: Apache-2.0
// Giving a guest all of its memory, so that it needs no page server any more: asked for by a
// client, done by the session's thread.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>

namespace pager {

// Shared by the two. Safe to use from any thread.
class Completion {
 public:
  enum class State { running, paused, done, failed };

  explicit Completion(uint64_t bytes_per_second, bool waited = true)
      : bytes_per_second_(bytes_per_second), waited_(waited) {}

  uint64_t bytes_per_second() const { return bytes_per_second_; }  // 0: no limit
  // Whether its client is there and wants to know the end. Who leaves does not end it: it is only
  // free then to be taken over by the next one who asks.
  bool waited() const { return waited_.load(std::memory_order_relaxed); }
  void leave() { waited_.store(false, std::memory_order_relaxed); }
  State state() const {
    const std::lock_guard lock(mutex_);
    return state_;
  }
  // Why it failed.
  std::string why() const {
    const std::lock_guard lock(mutex_);
    return why_;
  }
  // The first end counts.
  void set(State state, const std::string& why = "") {
    const std::lock_guard lock(mutex_);
    if (state_ != State::done && state_ != State::failed) {
      state_ = state;
      why_ = why;
      changed_.notify_all();
    }
  }
  // Waits until it is done or has failed, no longer than `limit`; returns whether it has.
  bool wait(std::chrono::milliseconds limit) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit,
                             [this] { return state_ == State::done || state_ == State::failed; });
  }

 private:
  const uint64_t bytes_per_second_;
  std::atomic<bool> waited_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  State state_ = State::running;
  std::string why_;
};

}  // namespace pager
