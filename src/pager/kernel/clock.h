// SPDX-License-Identifier: Apache-2.0
// CLOCK_MONOTONIC in nanoseconds, the clock of the page server and of the probe.
#pragma once

#include <cstdint>
#include <ctime>

namespace pager {

// In nanoseconds.
inline constexpr uint64_t kMicrosecond = 1'000;
inline constexpr uint64_t kMillisecond = 1'000'000;
inline constexpr uint64_t kSecond = 1'000'000'000;

// Reads CLOCK_MONOTONIC. A call takes about 25 ns (vDSO).
inline uint64_t monotonic_ns() {
  struct timespec now {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kSecond + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace pager
