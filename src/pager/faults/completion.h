// SPDX-License-Identifier: Apache-2.0
// A completion: a request to install all memory of a guest, so that it no longer needs the server.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>

namespace pager {

// Shared by the client's request, which waits, and the session's thread, which does the work.
// Thread-safe.
class Completion {
 public:
  enum class State { running, paused, done, failed };

  explicit Completion(uint64_t bytes_per_second, bool waited = true)
      : bytes_per_second_(bytes_per_second), waited_(waited) {}

  uint64_t bytes_per_second() const { return bytes_per_second_; }  // 0: no limit
  // Whether a client waits for the result. A client that leaves does not end the completion; the
  // next client that asks takes it over.
  bool waited() const { return waited_.load(std::memory_order_relaxed); }
  void leave() { waited_.store(false, std::memory_order_relaxed); }
  State state() const {
    const std::lock_guard lock(mutex_);
    return state_;
  }
  // The reason of the failure.
  std::string why() const {
    const std::lock_guard lock(mutex_);
    return why_;
  }
  // After `done` or `failed` the state does not change.
  void set(State state, const std::string& why = "") {
    const std::lock_guard lock(mutex_);
    if (state_ != State::done && state_ != State::failed) {
      state_ = state;
      why_ = why;
      changed_.notify_all();
    }
  }
  // Waits, for at most `limit`, until the state is `done` or `failed`. Returns whether it is.
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
