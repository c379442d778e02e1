// SPDX-License-Identifier: Apache-2.0
// The clock of a probe's figures.
#pragma once

#include <chrono>
#include <cstdint>

namespace pager {

// Monotonic. A call takes some 25 ns (vDSO), in each figure once.
inline uint64_t now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace pager
