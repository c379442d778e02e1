// The clock of the page server.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ctime>

namespace pager {

// CLOCK_MONOTONIC; some 25 ns a call.
inline uint64_t monotonic_ns() {
  struct timespec now {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  constexpr uint64_t kPerSecond = 1'000'000'000;
  return static_cast<uint64_t>(now.tv_sec) * kPerSecond + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace pager
