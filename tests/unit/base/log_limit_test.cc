// SPDX-License-Identifier: Apache-2.0
// How often one kind of message passes, and the count of those that do not.
#include "base/log_limit.h"

#include <gtest/gtest.h>

namespace {

using std::chrono::seconds;

TEST(LogLimit, PassesABurstThenOneMessageEachInterval) {
  base::LogLimit limit(3, seconds(10));
  const base::LogLimit::Clock::time_point start{seconds(1000)};
  int passed = 0;
  for (int i = 0; i < 100; ++i) {
    passed += limit.admit(start) ? 1 : 0;
  }
  EXPECT_EQ(passed, 3);
  EXPECT_EQ(limit.suppressed(), 97U);
  EXPECT_FALSE(limit.admit(start + seconds(9)));
  EXPECT_TRUE(limit.admit(start + seconds(10)));
  EXPECT_EQ(limit.note(), "; 98 similar messages were not logged");
  EXPECT_EQ(limit.note(), "");
  EXPECT_FALSE(limit.admit(start + seconds(19)));
  EXPECT_TRUE(limit.admit(start + seconds(20)));
  EXPECT_EQ(limit.note(), "; 1 similar message was not logged");
}

TEST(LogLimit, AfterAQuietTimeABurstPassesAgain) {
  base::LogLimit limit(2, seconds(10));
  const base::LogLimit::Clock::time_point start{seconds(1000)};
  EXPECT_TRUE(limit.admit(start));
  EXPECT_TRUE(limit.admit(start));
  EXPECT_FALSE(limit.admit(start));
  const auto later = start + seconds(100'000);
  EXPECT_TRUE(limit.admit(later));
  EXPECT_TRUE(limit.admit(later));
  EXPECT_FALSE(limit.admit(later));
}

}  // namespace
