// SPDX-License-Identifier: Apache-2.0
// The clock of the page server.
#pragma once

#include <cstdint>
#include <ctime>

namespace pager {

// In nanoseconds.
inline constexpr uint64_t kMicrosecond = 1'000;
inline constexpr uint64_t kMillisecond = 1'000'000;
inline constexpr uint64_t kSecond = 1'000'000'000;

// CLOCK_MONOTONIC; some 25 ns a call.
inline uint64_t monotonic_ns() {
  struct timespec now {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kSecond + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace pager
