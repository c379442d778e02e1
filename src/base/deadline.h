// SPDX-License-Identifier: Apache-2.0
// A point in time at which a wait ends.
#pragma once

#include <chrono>
#include <optional>

namespace base {

// Monotonic. It is computed once, so that an interrupted wait continues with the remaining time.
class Deadline {
 public:
  // Never passes.
  static Deadline never() { return Deadline(std::nullopt); }
  static Deadline after(std::chrono::milliseconds span) {
    return Deadline(std::chrono::steady_clock::now() + span);
  }

  bool is_never() const { return !at_.has_value(); }
  // Returns which of the two passes first.
  bool operator<(const Deadline& other) const { return at_ && (!other.at_ || *at_ < *other.at_); }
  bool passed() const { return at_ && std::chrono::steady_clock::now() >= *at_; }
  // For poll(2): -1 for never, else the remaining milliseconds, rounded up; 0 if it has passed.
  int poll_timeout() const;

 private:
  explicit Deadline(std::optional<std::chrono::steady_clock::time_point> at) : at_(at) {}
  std::optional<std::chrono::steady_clock::time_point> at_;
};

}  // namespace base
