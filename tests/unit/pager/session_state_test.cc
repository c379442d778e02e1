// SPDX-License-Identifier: Apache-2.0
// Tests the state of a session and its bitmaps.
#include "pager/faults/session_state.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace pager {
namespace {

TEST(PageBitmap, SetsAndClearsRangesAcrossWords) {
  std::vector<uint64_t> words(PageBitmap::words_for(300));
  ASSERT_EQ(words.size(), 5U);
  PageBitmap bitmap(words);
  EXPECT_EQ(bitmap.set(60, 140), 140U);
  EXPECT_EQ(bitmap.set(0, 61), 60U) << "one was set already";
  EXPECT_EQ(bitmap.clear(63, 2), 2U);
  EXPECT_EQ(bitmap.clear(63, 2), 0U);
  for (uint64_t i = 0; i < 300; ++i) {
    EXPECT_EQ(bitmap.test(i), i < 200 && i != 63 && i != 64) << i;
  }
  EXPECT_EQ(bitmap.set(0, 300), 102U);
}

const std::vector<hot::Region> kRegions{
    {.base = 0x700000000000, .size = 16 * hot::kSmallPage, .offset = 0},
    {.base = 0x600000000000, .size = 8 * hot::kSmallPage, .offset = 16 * hot::kSmallPage},
    {.base = 0x500000000000,
     .size = 4 * hot::kHugePage,
     .offset = hot::kHugePage,
     .page_size = hot::kHugePage}};

class SessionStateTest : public testing::Test {
 protected:
  StateMapping mapping_{kRegions, {.device = 1, .inode = 2, .size = 3}};
  PageTable table_{mapping_.state()};
};

TEST_F(SessionStateTest, OneMappingHoldsAllThatASuccessorNeeds) {
  SessionState& state = mapping_.state();
  EXPECT_EQ(state.magic, SessionState::kMagic);
  EXPECT_EQ(state.version, SessionState::kVersion);
  EXPECT_EQ(state.image, (ImageIdentity{.device = 1, .inode = 2, .size = 3}));
  EXPECT_EQ(state.page_count, 28U);
  EXPECT_EQ(state.text_at + state.text_bytes, state.total_bytes);
  // A copy of the bytes at another address is the same state.
  table_.mark_removed(0x700000000000, 0x700000000000 + hot::kSmallPage);
  table_.mark_installed(20, 3);
  table_.mark_poisoned(7);
  std::vector<uint64_t> copy(state.total_bytes / sizeof(uint64_t));
  std::memcpy(copy.data(), &state, state.total_bytes);
  PageTable other(*reinterpret_cast<SessionState*>(copy.data()));
  EXPECT_EQ(other.regions().size(), 3U);
  EXPECT_EQ(other.regions()[2].region, kRegions[2]);
  EXPECT_TRUE(other.removed(0));
  EXPECT_TRUE(other.installed(22));
  EXPECT_FALSE(other.installed(23));
  other.recount();
  EXPECT_EQ(other.poisoned_pages(), 1U);
  EXPECT_EQ(other.next_poisoned(0), 7U);
}

TEST_F(SessionStateTest, AFailedCheckThrowsAndDoesNotEndTheServer) {
  EXPECT_THROW(mapping_.state().trace.set(std::string(PathText::kBytes, 'x')), std::logic_error);
}

TEST_F(SessionStateTest, AnInstallOrARemovalEndsPoison) {
  for (const uint64_t page : {3U, 5U, 20U, 27U}) {
    table_.mark_poisoned(page);
    table_.mark_poisoned(page);
  }
  EXPECT_EQ(table_.poisoned_pages(), 4U);
  table_.mark_installed(2, 2);
  EXPECT_EQ(table_.healed_pages(), 1U);
  table_.mark_removed(0x700000000000, 0x700000000000 + 8 * hot::kSmallPage);
  EXPECT_EQ(table_.healed_pages(), 1U) << "a removed page was not healed";
  EXPECT_EQ(table_.next_poisoned(0), 20U);
  EXPECT_EQ(table_.next_poisoned(21), 27U);
  EXPECT_EQ(table_.next_poisoned(28), std::nullopt);
  EXPECT_EQ(table_.poisoned_pages(), 2U);
}

TEST_F(SessionStateTest, NumbersPagesThroughAllRegions) {
  for (const uint64_t page : {0U, 15U, 16U, 23U, 24U, 27U}) {
    const PageTable::RegionPages& in = table_.region_of_page(page);
    const uint64_t address = PageTable::address_of(in, page);
    EXPECT_EQ(table_.region_of_address(address), &in);
    EXPECT_EQ(PageTable::page_at(in, address), page);
    EXPECT_EQ(PageTable::page_at(in, address + in.region.page_size - 1), page);
  }
  EXPECT_EQ(PageTable::offset_of(table_.region_of_page(17), 17), 17 * hot::kSmallPage);
  EXPECT_EQ(PageTable::offset_of(table_.region_of_page(25), 25), 2 * hot::kHugePage);
  EXPECT_EQ(table_.region_of_address(0x700000000000 + 16 * hot::kSmallPage), nullptr);
  EXPECT_EQ(table_.region_of_address(0x700000000000 - 1), nullptr);
}

TEST_F(SessionStateTest, ARemovalTakesWholePagesInAllRegions) {
  table_.mark_installed(0, 28);
  EXPECT_EQ(table_.mark_removed(0, ~uint64_t{0}), 28U);
  EXPECT_EQ(table_.mark_removed(0, ~uint64_t{0}), 0U) << "each page counts once";
  EXPECT_FALSE(table_.installed(5));
}

TEST_F(SessionStateTest, CountsInstalledBytesWithoutRemovedOnes) {
  EXPECT_EQ(table_.installed_bytes(), 0U);
  table_.mark_installed(0, 3);
  table_.mark_installed(2, 2);
  EXPECT_EQ(table_.installed_bytes(), 4 * hot::kSmallPage);
  table_.mark_installed(24, 2);
  EXPECT_EQ(table_.installed_bytes(), 4 * hot::kSmallPage + 2 * hot::kHugePage);
  table_.mark_removed(kRegions[2].base, kRegions[2].base + hot::kHugePage);
  table_.mark_removed(kRegions[0].base, kRegions[0].base + hot::kSmallPage);
  table_.mark_removed(kRegions[0].base, kRegions[0].base + hot::kSmallPage);
  EXPECT_EQ(table_.installed_bytes(), 3 * hot::kSmallPage + hot::kHugePage);
}

TEST_F(SessionStateTest, APartOfA2MibPageIsNotRemoved) {
  const uint64_t base = kRegions[2].base;
  EXPECT_EQ(
      table_.mark_removed(base + hot::kSmallPage, base + 3 * hot::kHugePage - hot::kSmallPage), 1U);
  EXPECT_FALSE(table_.removed(24));
  EXPECT_TRUE(table_.removed(25));
  EXPECT_FALSE(table_.removed(26));
  EXPECT_EQ(table_.mark_removed(base, base), 0U);
}

}  // namespace
}  // namespace pager
