// SPDX-License-Identifier: Apache-2.0
// Tests the window: streams, random access, fixed and lazy windows.
#include "pager/faults/window.h"

#include <gtest/gtest.h>

namespace pager {
namespace {

TEST(Window, OpensForSequentialAndNotForRandomAccess) {
  Window window = Window::automatic();
  EXPECT_EQ(window.plan(100).now.count, 1U);
  EXPECT_EQ(window.plan(101).now.count, 4U);
  EXPECT_EQ(window.plan(105).now.count, 16U);
  const Window::Plan third = window.plan(121);
  EXPECT_EQ(third.now.first, 121U);
  EXPECT_EQ(third.now.count, 32U);
  EXPECT_EQ(third.later.first, 153U) << "a long sequential access is installed ahead of the faults";
  EXPECT_EQ(third.later.count, 32U);
  EXPECT_EQ(window.plan(185).later.count, 96U);
  EXPECT_EQ(window.plan(7).now.count, 1U);
  EXPECT_EQ(window.plan(9000).now.count, 1U);
  EXPECT_EQ(window.plan(313).now.count, 32U) << "the stream continues";
}

TEST(Window, TracksSeveralStreams) {
  Window window = Window::automatic();
  for (uint64_t walk = 0; walk < 8; ++walk) {
    EXPECT_EQ(window.plan(walk * 1000).now.count, 1U);
  }
  for (uint64_t walk = 0; walk < 8; ++walk) {
    EXPECT_EQ(window.plan(walk * 1000 + 1).now.count, 4U);
  }
}

// Several vCPUs access one area sequentially: the second fault may be read first.
TEST(Window, FaultsOutOfOrderDoNotEndAStream) {
  Window window = Window::automatic();
  window.plan(0);
  const Window::Plan ahead = window.plan(3);
  EXPECT_EQ(ahead.now.first, 1U) << "skipped pages fault next";
  EXPECT_EQ(ahead.now.count, 4U);
  const Window::Plan behind = window.plan(2);
  EXPECT_EQ(behind.now.first, 2U);
  EXPECT_EQ(behind.now.count, 16U);
  EXPECT_EQ(window.plan(18).now.count, 32U);
}

TEST(Window, AlwaysContainsThePageOfTheFault) {
  for (uint64_t fixed = 0; fixed < 40; ++fixed) {
    Window window = fixed == 0 ? Window::automatic() : Window::fixed(fixed);
    uint64_t random = fixed + 1;
    for (int i = 0; i < 2000; ++i) {
      random = random * 6364136223846793005 + 1442695040888963407;
      const uint64_t page = 100 + (random >> 33U) % 60;
      const PageSpan now = window.plan(page).now;
      ASSERT_LE(now.first, page);
      ASSERT_GT(now.end(), page);
      ASSERT_LE(now.count, Window::kMostAtOnce);
    }
  }
}

// The guest faults in a span that was planned for later.
TEST(Window, AFaultInALaterSpanContinuesFromThere) {
  Window window = Window::automatic();
  for (const uint64_t page : {0U, 1U, 5U, 21U}) {
    window.plan(page);
  }
  const Window::Plan plan = window.plan(60);
  EXPECT_EQ(plan.now.first, 60U);
  EXPECT_EQ(plan.now.count, 32U);
}

TEST(Window, AFixedWindowPlansThePageFirstAndItsBlockLater) {
  Window window = Window::fixed(16);
  const Window::Plan jump = window.plan(37);
  EXPECT_EQ(jump.now.first, 37U);
  EXPECT_EQ(jump.now.count, 1U);
  EXPECT_EQ(jump.later.first, 32U);
  EXPECT_EQ(jump.later.count, 16U);
  const Window::Plan walk = window.plan(38);
  EXPECT_EQ(walk.now.first, 38U);
  EXPECT_EQ(walk.now.count, 16U);
  EXPECT_EQ(walk.later.count, 0U);
  EXPECT_EQ(Window::fixed(100'000).plan(5).later.count, Window::kLargest);
}

TEST(Window, ALazyWindowPlansOnlyThePage) {
  Window window = Window::lazy();
  for (uint64_t page = 0; page < 20; ++page) {
    const Window::Plan plan = window.plan(page);
    EXPECT_EQ(plan.now.first, page);
    EXPECT_EQ(plan.now.count, 1U);
    EXPECT_EQ(plan.later.count, 0U);
  }
  EXPECT_EQ(window.zero_block(), 1U);
}

}  // namespace
}  // namespace pager
