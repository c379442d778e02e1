// SPDX-License-Identifier: Apache-2.0
// Tests reads of a userfaultfd that the VMM has put into blocking mode.
#include "pager/kernel/uffd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <array>
#include <optional>

#include "pager/kernel/features.h"
#include "pager/kernel/read_ticker.h"
#include "tests/unit/pager/test_guest.h"

namespace pager {
namespace {

class UffdTest : public testing::Test {
 protected:
  void SetUp() override {
    try {
      guest_.emplace(4);
    } catch (const base::Unsupported& error) {
      GTEST_SKIP() << error.what();
    }
    // The mode belongs to the open file, which the VMM shares.
    ASSERT_EQ(::fcntl(guest_->uffd(), F_SETFL, O_RDWR), 0);
  }
  void TearDown() override { features() = Features(); }

  std::optional<TestGuest> guest_;
  std::array<uffd_msg, 4> events_{};
};

TEST_F(UffdTest, AReadDoesNotWaitIfTheVmmClearedNonblock) {
  if (!uffd_has_nowait_read(guest_->uffd())) {
    GTEST_SKIP() << "no RWF_NOWAIT for a userfaultfd here";
  }
  EXPECT_EQ(uffd_read(guest_->uffd(), events_), 0U);
  std::future<uint64_t> touched = guest_->touch(2);
  ASSERT_TRUE(guest_->wait_for_unread_faults(1));
  EXPECT_EQ(uffd_read(guest_->uffd(), events_), 1U);
  EXPECT_EQ(uffd_read(guest_->uffd(), events_), 0U);
  uffd_zeropage(guest_->uffd(), guest_->address(2), hot::kSmallPage);
  EXPECT_EQ(touched.get(), 0U);
}

TEST_F(UffdTest, ATickerEndsABlockingRead) {
  features().probe("nowait-read");
  const ReadTicker ticker;
  EXPECT_EQ(uffd_read(guest_->uffd(), events_), 0U);
}

}  // namespace
}  // namespace pager
