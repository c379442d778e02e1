// Giving a guest all of its memory, so that it needs no page server any more: asked for by a
// client, done by the session's thread. SPDX-License-Identifier: Apache-2.0
#pragma once

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

  explicit Completion(uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  uint64_t bytes_per_second() const { return bytes_per_second_; }  // 0: no limit
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
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  State state_ = State::running;
  std::string why_;
};

}  // namespace pager
