// SPDX-License-Identifier: Apache-2.0
// A limit on how often one kind of message is written.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace base {

// For messages that a peer or a broken disk can cause at will. One object for each kind of message
// and each source of it: the first `burst` messages pass, then one each `interval`. A message that
// passes says how many did not:
//
//   if (limit.admit()) say_warning(text + limit.note());
//
// Safe to use from any thread.
class LogLimit {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr unsigned kBurst = 10;
  static constexpr std::chrono::seconds kInterval{10};

  explicit LogLimit(unsigned burst = kBurst, Clock::duration interval = kInterval)
      : burst_(burst), interval_(interval), left_(burst) {}

  // Whether a message may be written now; counts those that may not.
  bool admit(Clock::time_point now = Clock::now());
  // "; 12 similar messages were not logged" since the last call, or nothing if there were none.
  std::string note();
  // Messages since the last note() that were not written.
  uint64_t suppressed() const;

 private:
  const unsigned burst_;
  const Clock::duration interval_;
  mutable std::mutex mutex_;
  unsigned left_;
  Clock::time_point refilled_{};  // when `left_` last changed from full, or was raised
  uint64_t suppressed_ = 0;
};

}  // namespace base
