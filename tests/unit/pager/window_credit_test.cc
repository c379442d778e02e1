// SPDX-License-Identifier: Apache-2.0
// Tests the bound of what windows install.
#include "pager/faults/window_credit.h"

#include <limits>

#include "tests/unit/pager/fault_loop_fixture.h"

namespace pager {
namespace {

using hot::kSmallPage;

class WindowCreditTest : public testing::Test {
 protected:
  void use_factor(uint32_t factor) { state_.factor = factor; }
  void fault() {
    credit_.add_installed(1);
    credit_.add_asked(1);
  }

  SessionState::WindowBytes state_{};
  Counters counters_;
  WindowCredit credit_{state_, counters_};
};

TEST_F(WindowCreditTest, AFaultCreditsOnePage) {
  use_factor(3);
  EXPECT_EQ(credit_.room(1), 2U);
  fault();
  EXPECT_EQ(credit_.room(0), 2U);
  EXPECT_EQ(credit_.room(1), 4U);
  credit_.add_installed(2);
  EXPECT_EQ(credit_.room(0), 0U);
  EXPECT_EQ(credit_.room(1), 2U);
  EXPECT_EQ(counters_.get(Count::bytes_asked), 1U);
  EXPECT_EQ(counters_.get(Count::bytes_by_window), 2U);
}

TEST_F(WindowCreditTest, AContinuedWindowCountsAsAskedFor) {
  use_factor(2);
  fault();
  credit_.add_installed(1);
  EXPECT_EQ(credit_.room(0), 0U);
  credit_.add_asked(1);
  EXPECT_EQ(credit_.room(0), 2U);
  EXPECT_EQ(counters_.get(Count::bytes_by_window), 0U);
}

TEST_F(WindowCreditTest, NoMoreIsAskedForThanInstalled) {
  use_factor(2);
  fault();
  credit_.add_asked(100);
  EXPECT_EQ(counters_.get(Count::bytes_asked), 1U);
  EXPECT_EQ(credit_.room(0), 1U);
}

TEST_F(WindowCreditTest, FactorOneInstallsNothingMoreAndZeroHasNoBound) {
  use_factor(1);
  fault();
  EXPECT_EQ(credit_.room(1), 0U);
  use_factor(0);
  EXPECT_EQ(credit_.room(1), std::numeric_limits<uint64_t>::max());
}

class BoundedWindowTest : public FaultLoopTest {};

TEST_F(BoundedWindowTest, ScatteredFaultsInstallAtMostAsMuchAgain) {
  start({}, Window::automatic(2));
  for (uint64_t i = 0; i < kPages; ++i) {
    const uint64_t page = i * 37 % kPages;
    ASSERT_EQ(served(page), page_word(page));
    work_off();
    ASSERT_LE(count(Count::bytes_by_window), count(Count::bytes_asked));
    ASSERT_EQ(count(Count::bytes_asked) + count(Count::bytes_by_window),
              count(Count::pages_copied) * kSmallPage);
  }
  EXPECT_LT(count(Count::faults), kPages) << "windows are used";
}

TEST_F(BoundedWindowTest, ASequentialPassOpensTheWindow) {
  start({}, Window::automatic(2));
  for (uint64_t page = 0; page < kPages; ++page) {
    ASSERT_EQ(served(page), page_word(page));
  }
  EXPECT_LE(count(Count::faults), kPages / 10);
  EXPECT_EQ(count(Count::pages_copied), kPages);
  EXPECT_GE(count(Count::bytes_asked), kPages / 2 * kSmallPage);
}

TEST_F(BoundedWindowTest, FactorOneInstallsOnlyThePagesOfFaults) {
  start({}, Window::automatic(1));
  for (uint64_t page = 0; page < 20; ++page) {
    ASSERT_EQ(served(page), page_word(page));
    work_off();
  }
  EXPECT_EQ(count(Count::faults), 20U);
  EXPECT_EQ(count(Count::pages_copied), 20U);
  EXPECT_EQ(count(Count::bytes_by_window), 0U);
}

TEST_F(BoundedWindowTest, AHotListIsNotBoundAndIsReported) {
  start({}, Window::automatic(1));
  std::vector<hot::HotPage> pages;
  for (uint64_t page = 0; page < 100; ++page) {
    pages.push_back({.region = 0, .offset = page * kSmallPage});
  }
  use_hot_list(pages);
  work_off();
  EXPECT_EQ(count(Count::bytes_by_list), 100 * kSmallPage);
  EXPECT_EQ(count(Count::bytes_by_window), 0U);
}

}  // namespace
}  // namespace pager
