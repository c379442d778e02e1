// SPDX-License-Identifier: Apache-2.0
// Formats a time by strftime(3) and adds the fraction of the second.
#include "base/time_text.h"

#include <array>

namespace base {

std::string rfc3339(const struct timespec& time, int digits) {
  struct tm utc {};
  ::gmtime_r(&time.tv_sec, &utc);
  std::array<char, 64> text{};
  const size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  constexpr long kSecond = 1'000'000'000;  // the leading 1 keeps the zeros of the fraction
  const std::string fraction = std::to_string(kSecond + time.tv_nsec);
  return std::string(text.data(), length) + "." + fraction.substr(1, static_cast<size_t>(digits)) +
         "Z";
}

std::string rfc3339_of_ms(int64_t ms) {
  constexpr int64_t kMsPerSecond = 1000;
  constexpr long kNsPerMs = 1'000'000;
  return rfc3339({.tv_sec = static_cast<time_t>(ms / kMsPerSecond),
                  .tv_nsec = static_cast<long>(ms % kMsPerSecond) * kNsPerMs},
                 3);
}

struct timespec wall_clock() {
  struct timespec now {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

}  // namespace base
