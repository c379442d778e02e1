// SPDX-License-Identifier: Apache-2.0
// Limits how often one kind of message is written.
#include "base/log_limit.h"

#include <algorithm>

namespace base {

bool LogLimit::admit(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (left_ == burst_) {
    refilled_ = now;
  } else if (const auto passed = (now - refilled_) / interval_; passed > 0) {
    left_ += static_cast<unsigned>(std::min<int64_t>(passed, burst_ - left_));
    refilled_ += passed * interval_;
  }
  if (left_ == 0) {
    ++suppressed_;
    return false;
  }
  --left_;
  return true;
}

std::string LogLimit::note() {
  const std::lock_guard lock(mutex_);
  const uint64_t count = suppressed_;
  suppressed_ = 0;
  return count == 0   ? ""
         : count == 1 ? "; 1 similar message was not logged"
                      : "; " + std::to_string(count) + " similar messages were not logged";
}

uint64_t LogLimit::suppressed() const {
  const std::lock_guard lock(mutex_);
  return suppressed_;
}

}  // namespace base
