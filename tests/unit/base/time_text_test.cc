// SPDX-License-Identifier: Apache-2.0
// Times are printed as RFC 3339 in UTC, with the number of decimal places that the caller wants.
#include "base/time_text.h"

#include <gtest/gtest.h>

namespace {

TEST(Rfc3339, PrintsUtcAndCutsTheFraction) {
  const struct timespec time { .tv_sec = 1'795'858'897, .tv_nsec = 120'999'999 };
  EXPECT_EQ(base::rfc3339(time, 3), "2026-11-28T09:41:37.120Z");
  EXPECT_EQ(base::rfc3339(time, 9), "2026-11-28T09:41:37.120999999Z");
}

TEST(Rfc3339, KeepsTheZerosOfTheFraction) {
  EXPECT_EQ(base::rfc3339({.tv_sec = 0, .tv_nsec = 5}, 9), "1970-01-01T00:00:00.000000005Z");
  EXPECT_EQ(base::rfc3339_of_ms(1007), "1970-01-01T00:00:01.007Z");
}

}  // namespace
