// SPDX-License-Identifier: Apache-2.0
// Tests the installation of a hot list while the guest faults.
#include "pager/faults/fault_loop.h"

#include <sched.h>

#include <thread>

#include "tests/unit/pager/fault_loop_fixture.h"

namespace pager {
namespace {

TEST_F(FaultLoopTest, TheHotListIsInstalledWithoutAFault) {
  FaultLoop& loop = start({7});
  std::vector<hot::HotPage> hot;
  for (const uint64_t page : {200U, 3U, 4U, 5U, 7U, 200U, 90U}) {
    hot.push_back({.region = 0, .offset = page * hot::kSmallPage});
  }
  use_hot_list(hot);
  EXPECT_EQ(loop.wait_ns(), 0U);
  while (loop.wait_ns()) {
    loop.step();
  }
  EXPECT_EQ(count(Count::pages_prefetched), 6U);
  EXPECT_EQ(count(Count::pages_zeroed), 1U);
  EXPECT_EQ(count(Count::faults), 0U);
  for (const uint64_t page : {200U, 3U, 4U, 5U, 90U}) {
    EXPECT_EQ(guest_->word(page), page_word(page));
  }
  EXPECT_EQ(guest_->word(7), 0U);
}

TEST_F(FaultLoopTest, TheHotListNeverOverwritesRemovedPages) {
  start();
  removed(0, 128);
  std::vector<hot::HotPage> hot;
  for (uint64_t page = 0; page < kPages; ++page) {
    hot.push_back({.region = 0, .offset = page * hot::kSmallPage});
  }
  use_hot_list(hot);
  while (loop_->wait_ns()) {
    loop_->step();
  }
  EXPECT_EQ(count(Count::pages_prefetched), 128U);
  for (uint64_t page = 0; page < kPages; ++page) {
    ASSERT_EQ(served(page), page < 128 ? 0 : page_word(page)) << page;
  }
}

// The pages of a list say nothing about what the guest touches.
TEST_F(FaultLoopTest, WithAHotListDenseAccessDoesNotFillItsArea) {
  start();
  use_hot_list({{.region = 0, .offset = 40 * hot::kSmallPage}});
  work_off();
  for (const uint64_t page : {1U, 11U, 21U, 31U}) {
    EXPECT_EQ(served(page), page_word(page));
  }
  work_off();
  EXPECT_EQ(count(Count::pages_copied), 5U);
}

TEST_F(FaultLoopTest, AHotListForOtherRegionsIsRefusedAsAWhole) {
  start();
  use_hot_list({{.region = 0, .offset = 0}, {.region = 1, .offset = 0}});
  EXPECT_FALSE(loop_->wait_ns().has_value());
  EXPECT_EQ(count(Count::hot_list_refused), 1U);
  EXPECT_FALSE(guest_->is_present(0));
}

TEST_F(FaultLoopTest, AnswersFaultsBeforeTheHotList) {
  start();
  std::vector<hot::HotPage> hot;
  for (uint64_t page = 0; page < 200; ++page) {
    hot.push_back({.region = 0, .offset = page * hot::kSmallPage});
  }
  use_hot_list(hot);
  std::future<uint64_t> touched = guest_->touch(250);
  ASSERT_TRUE(guest_->wait_for_unread_faults(1));
  loop_->step();
  EXPECT_EQ(touched.get(), page_word(250));
  EXPECT_EQ(count(Count::pages_prefetched), 0U);
}

TEST_F(FaultLoopTest, EndlessFaultsDoNotBlockTheHotList) {
  start({}, Window::lazy());
  std::vector<hot::HotPage> hot;
  for (uint64_t page = 0; page < 20; ++page) {
    hot.push_back({.region = 0, .offset = page * hot::kSmallPage});
  }
  use_hot_list(hot);
  for (int fault = 0; fault < FaultLoop::kBusyRounds; ++fault) {
    EXPECT_EQ(count(Count::pages_prefetched), 0U);
    std::future<uint64_t> touched = guest_->touch(100 + static_cast<uint64_t>(fault));
    ASSERT_TRUE(guest_->wait_for_unread_faults(1));
    loop_->step();
    EXPECT_NE(touched.get(), 0U);
  }
  EXPECT_GE(count(Count::pages_prefetched), 8U);
}

}  // namespace
}  // namespace pager
