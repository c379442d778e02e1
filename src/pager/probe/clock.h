// SPDX-License-Identifier: Apache-2.0
// The clock of a probe's measurements.
#pragma once

#include <chrono>
#include <cstdint>

namespace pager {

// Monotonic. A call takes about 25 ns (vDSO); each measurement includes one.
inline uint64_t now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace pager
