// SPDX-License-Identifier: Apache-2.0
// Limits how often one kind of message is written.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace base {

// For messages that a peer or a broken disk can cause without limit. Use one object for each kind
// of message and each source of it. The first `burst` messages pass, then one per `interval`. A
// message that passes contains the number of those that did not:
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

  // Returns whether a message may be written now; counts the messages that may not.
  bool admit(Clock::time_point now = Clock::now());
  // Returns "; 12 similar messages were not logged" for those since the last call, or an empty
  // string.
  std::string note();
  // The number of messages since the last note() that were not written.
  uint64_t suppressed() const;

 private:
  const unsigned burst_;
  const Clock::duration interval_;
  mutable std::mutex mutex_;
  unsigned left_;
  Clock::time_point refilled_{};  // when `left_` last changed from full, or increased
  uint64_t suppressed_ = 0;
};

}  // namespace base
