// SPDX-License-Identifier: Apache-2.0
// Converts a deadline into a timeout for poll(2).
#include "base/deadline.h"

#include <algorithm>
#include <limits>

namespace base {

int Deadline::poll_timeout() const {
  if (!at_) {
    return -1;
  }
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(*at_ - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, std::numeric_limits<int>::max()));
}

}  // namespace base
