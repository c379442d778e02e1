// SPDX-License-Identifier: Apache-2.0
// Hot pages are joined to few large ranges of the memory file.
#include "hot/readahead.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace hot {
namespace {

constexpr uint64_t kPage = kSmallPage;
constexpr uint64_t kGap = kReadaheadGap;

TEST(ReadaheadRanges, SortsPagesAndJoinsThemAcrossSmallGaps) {
  const std::vector<Region> regions = usual_regions(uint64_t{1} << 30U, kPage);
  const uint64_t far = 10 * kPage + kGap + 2 * kPage;
  const std::vector<HotPage> pages{{0, far}, {0, 10 * kPage}, {0, 0}, {0, 10 * kPage}};
  EXPECT_EQ(readahead_ranges(pages, regions),
            (std::vector<FileRange>{{0, 11 * kPage}, {far, far + kPage}}));
}

TEST(ReadaheadRanges, UsesTheOffsetOfEachRegion) {
  const std::vector<Region> regions = usual_regions(uint64_t{4} << 30U, kPage);
  ASSERT_EQ(regions.size(), 2U);
  const uint64_t second = uint64_t{3} << 30U;
  EXPECT_EQ(readahead_ranges(std::vector<HotPage>{{1, kPage}}, regions),
            (std::vector<FileRange>{{second + kPage, second + 2 * kPage}}));
  EXPECT_TRUE(readahead_ranges({}, regions).empty());
}

}  // namespace
}  // namespace hot
