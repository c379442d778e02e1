// SPDX-License-Identifier: Apache-2.0
// Tests the page orders of a probe.
#include "pager/probe/order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "base/error.h"
#include "hot/region.h"
#include "tests/unit/scratch_dir.h"

namespace pager {
namespace {

constexpr uint64_t kAll = kMaxPages;

std::vector<PageNumber> order(const std::string& pattern, uint64_t pages, uint64_t limit = kAll,
                              uint64_t seed = 1) {
  return page_order(parse_pattern(pattern), pages, hot::kSmallPage, limit, seed);
}

TEST(ProbeOrder, RandomContainsEachPageOnceAndDependsOnItsSeed) {
  const std::vector<PageNumber> pages = order("random", 1000);
  EXPECT_EQ(std::set<PageNumber>(pages.begin(), pages.end()).size(), 1000U);
  EXPECT_EQ(pages.size(), 1000U);
  EXPECT_EQ(pages, order("random", 1000));
  EXPECT_NE(pages, order("random", 1000, kAll, 2));
  EXPECT_FALSE(std::ranges::is_sorted(pages));
}

TEST(ProbeOrder, ALimitTakesTheFirstPagesOfTheSameOrder) {
  for (const char* pattern : {"random", "seq", "stride:7"}) {
    std::vector<PageNumber> whole = order(pattern, 100);
    whole.resize(10);
    EXPECT_EQ(order(pattern, 100, 10), whole) << pattern;
  }
}

TEST(ProbeOrder, AStrideStartsAgainAtTheNextPage) {
  EXPECT_EQ(order("seq", 4), (std::vector<PageNumber>{0, 1, 2, 3}));
  EXPECT_EQ(order("stride:3", 8), (std::vector<PageNumber>{0, 3, 6, 1, 4, 7, 2, 5}));
  EXPECT_EQ(order("stride:18446744073709551615", 3), (std::vector<PageNumber>{0, 1, 2}));
}

TEST(ProbeOrder, ATraceContainsOnlyFirstTouches) {
  const ScratchDir dir;
  std::ofstream(dir / "t") << "5\n2\n5\n0\n";
  EXPECT_EQ(order("trace:" + dir / "t", 6), (std::vector<PageNumber>{5, 2, 0}));
  EXPECT_EQ(order("trace:" + dir / "t", 6, 2), (std::vector<PageNumber>{5, 2}));
  EXPECT_THROW(order("trace:" + dir / "t", 5), base::BadData);
}

TEST(ProbeOrder, UnknownPatternsAreUsageErrors) {
  for (const char* text : {"", "rand", "stride", "stride:", "stride:0", "stride:1x", "stride:-1",
                           "trace", "trace:", "seq "}) {
    EXPECT_THROW(parse_pattern(text), base::UsageError) << text;
  }
}

}  // namespace
}  // namespace pager
