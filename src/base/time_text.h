// SPDX-License-Identifier: Apache-2.0
// Formats a time as RFC 3339 in UTC.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>

namespace base {

// Returns "2026-11-28T09:41:37.123Z": the seconds with `digits` (1 to 9) decimal places, cut and
// not rounded.
std::string rfc3339(const struct timespec& time, int digits);
// The same for milliseconds since 1970, with 3 decimal places.
std::string rfc3339_of_ms(int64_t ms);
// Returns the present time (CLOCK_REALTIME).
struct timespec wall_clock();

}  // namespace base
