// SPDX-License-Identifier: Apache-2.0
// Tests the validation of region layouts.
#include "hot/region.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace hot {
namespace {

constexpr uint64_t kMib = 1 << 20;
constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

// The x86 layout above 3 GiB: the second region has the lower address, while the offsets ascend.
std::vector<Region> two_regions() {
  return {{.base = 0x7f0000000000, .size = 3072 * kMib, .offset = 0},
          {.base = 0x7e0000000000, .size = 512 * kMib, .offset = 3072 * kMib}};
}

std::string problem(const std::function<void(std::vector<Region>&)>& spoil,
                    uint64_t file_size = 3584 * kMib) {
  std::vector<Region> regions = two_regions();
  spoil(regions);
  return layout_problem(regions, file_size).value_or("");
}

TEST(Regions, AcceptsALayoutOfFirecracker) {
  EXPECT_EQ(problem([](auto&) {}), "");
  EXPECT_EQ(problem([](auto& r) { r[1].page_size = kHugePage; }), "");
}

TEST(Regions, NamesTheFaultsOfHostileLayouts) {
  EXPECT_EQ(problem([](auto& r) { r.clear(); }), "the layout has no regions");
  EXPECT_NE(problem([](auto& r) { r[1].size = 0; }).find("region 1: the region is empty"),
            std::string::npos);
  EXPECT_NE(problem([](auto& r) { r[0].page_size = 8192; }).find("page size 8192"),
            std::string::npos);
  EXPECT_NE(problem([](auto& r) { r[0].base += 1; }).find("not a multiple"), std::string::npos);
  EXPECT_NE(problem([](auto& r) { r[0].offset = 512; }).find("not a multiple"), std::string::npos);
  EXPECT_NE(problem([](auto& r) {
              r[1].page_size = kHugePage;
              r[1].base += kSmallPage;
            }).find("not a multiple"),
            std::string::npos);
  EXPECT_NE(problem([](auto& r) { r[1].base = kMax - kSmallPage + 1; }).find("overflow"),
            std::string::npos);
  EXPECT_NE(problem([](auto& r) { r[1].offset = kMax - kSmallPage + 1; }).find("overflow"),
            std::string::npos);
  EXPECT_NE(problem([](auto& r) { r[1].base = r[0].base + kMib; }).find("overlap"),
            std::string::npos);
  EXPECT_NE(problem([](auto& r) { r[1].offset = kMib; }).find("overlap"), std::string::npos);
  EXPECT_NE(problem([](auto&) {}, 3584 * kMib - kSmallPage).find("beyond the memory file"),
            std::string::npos);
  EXPECT_NE(problem([](auto& r) { r.resize(kMaxRegions + 1, r[0]); }).find("more than"),
            std::string::npos);
}

TEST(Regions, FindsTheRegionOfAnAddress) {
  const std::vector<Region> regions = two_regions();
  EXPECT_EQ(find_region(regions, 0x7e0000000000), &regions[1]);
  EXPECT_EQ(find_region(regions, regions[1].end()), nullptr);
  EXPECT_EQ(find_region(regions, 0), nullptr);
}

}  // namespace
}  // namespace hot
