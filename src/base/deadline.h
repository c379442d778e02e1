// SPDX-License-Identifier: Apache-2.0
// A point in time that a wait may not pass.
#pragma once

#include <chrono>
#include <optional>

namespace base {

// Monotonic; computed once, so that a wait which is interrupted goes on with the remaining time.
class Deadline {
 public:
  // Never passes.
  static Deadline never() { return Deadline(std::nullopt); }
  static Deadline after(std::chrono::milliseconds span) {
    return Deadline(std::chrono::steady_clock::now() + span);
  }

  bool is_never() const { return !at_.has_value(); }
  // Which one passes first.
  bool operator<(const Deadline& other) const { return at_ && (!other.at_ || *at_ < *other.at_); }
  bool passed() const { return at_ && std::chrono::steady_clock::now() >= *at_; }
  // For poll(2): -1 for never, else the milliseconds left, rounded up, 0 when passed.
  int poll_timeout() const;

 private:
  explicit Deadline(std::optional<std::chrono::steady_clock::time_point> at) : at_(at) {}
  std::optional<std::chrono::steady_clock::time_point> at_;
};

}  // namespace base
