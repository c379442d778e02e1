// SPDX-License-Identifier: Apache-2.0
// Tests the division of memory into runs that a probe removes.
#include "pager/probe/balloon.h"

#include <gtest/gtest.h>

#include <set>

namespace pager {
namespace {

constexpr uint64_t kPages = 1000;
constexpr uint64_t kRegionEnd = 333;

BalloonPlan make_plan() {
  return {kPages, [](PageNumber page) { return page % 10 == 3; },
          [](PageNumber page) { return page < kRegionEnd ? kRegionEnd : kPages; }, 1};
}

TEST(ProbeBalloon, ReturnsEachPageOnceExceptKeptPages) {
  BalloonPlan plan = make_plan();
  std::multiset<PageNumber> pages;
  while (const std::optional<PageRun> run = plan.take_any()) {
    ASSERT_GE(run->count, 1U);
    ASSERT_LE(run->count, 16U);
    EXPECT_EQ(run->first < kRegionEnd, run->first + run->count <= kRegionEnd);
    for (PageNumber i = 0; i < run->count; ++i) {
      pages.insert(run->first + i);
    }
  }
  EXPECT_EQ(pages.size(), kPages * 9 / 10);
  for (PageNumber page = 0; page < kPages; ++page) {
    EXPECT_EQ(pages.count(page), page % 10 == 3 ? 0U : 1U) << page;
  }
}

TEST(ProbeBalloon, FindsTheRunOfAPageOnce) {
  BalloonPlan plan = make_plan();
  const std::optional<PageRun> run = plan.take_at(500);
  ASSERT_TRUE(run.has_value());
  EXPECT_LE(run->first, 500U);
  EXPECT_GT(run->first + run->count, 500U);
  EXPECT_EQ(plan.take_at(500), std::nullopt);
  EXPECT_EQ(plan.take_at(503), std::nullopt);  // kept
  EXPECT_EQ(plan.take_at(kPages), std::nullopt);
  while (const std::optional<PageRun> other = plan.take_any()) {
    EXPECT_NE(*other, *run);
  }
}

TEST(ProbeBalloon, ReturnsNothingIfAllPagesAreKept) {
  BalloonPlan plan(
      10, [](PageNumber) { return true; }, [](PageNumber) { return uint64_t{10}; }, 1);
  EXPECT_EQ(plan.take_any(), std::nullopt);
  EXPECT_EQ(plan.take_at(0), std::nullopt);
}

}  // namespace
}  // namespace pager
