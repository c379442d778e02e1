// SPDX-License-Identifier: Apache-2.0
// Tests the queue of spans that are installed while no fault waits.
#include "pager/faults/window_rests.h"

#include "tests/unit/pager/idle_work_fixture.h"

namespace pager {
namespace {

class WindowRestsTest : public IdleWorkTest {
 protected:
  void SetUp() override {
    IdleWorkTest::SetUp();
    if (!IsSkipped()) {
      rests_.emplace(*table_, *filler_, *image_, *cold_, credit_, counters_);
    }
  }
  void add(uint64_t first, uint64_t pages) {
    rests_->add(region(), {.first = first, .count = pages});
  }
  // Installs pages as faults of the guest do.
  void touch(uint64_t first, uint64_t pages) {
    for (uint64_t page = first; page < first + pages; ++page) {
      ASSERT_EQ(filler_->prefetch(region(), std::span(&page, 1)), Stop::done);
    }
  }

  SessionState::WindowBytes bytes_{};  // no bound
  WindowCredit credit_{bytes_, counters_};
  std::optional<WindowRests> rests_;
};

TEST_F(WindowRestsTest, InstallsASpanPieceByPiece) {
  add(100, 20);
  EXPECT_TRUE(rests_->has_work());
  EXPECT_EQ(rests_->piece(kPiece), Stop::done);
  EXPECT_EQ(installed(), 8U);
  EXPECT_EQ(work_off(*rests_), 2);
  EXPECT_EQ(installed(), 20U);
  for (uint64_t page = 100; page < 120; ++page) {
    EXPECT_EQ(guest_->word(page), page_word(page));
  }
  EXPECT_FALSE(guest_->is_present(99));
  EXPECT_FALSE(guest_->is_present(120));
}

TEST_F(WindowRestsTest, NeverWaitsForTheDisk) {
  if (!make_cold()) {
    GTEST_SKIP() << "this filesystem keeps the pages of a file in memory";
  }
  add(512, 20);
  EXPECT_EQ(rests_->piece(kPiece), Stop::done);
  EXPECT_EQ(installed(), 0U) << "another thread reads them";
  EXPECT_GT(rests_->due_ns(), 0U);
  work_off(*rests_);
  EXPECT_EQ(installed(), 20U);
  EXPECT_EQ(guest_->word(531), page_word(531));
  EXPECT_FALSE(image_->is_cached(540 * hot::kSmallPage, hot::kSmallPage)) << "no read-ahead";
}

TEST_F(WindowRestsTest, DropsWhatIsBeyondTheCredit) {
  bytes_ = {.asked = 3 * hot::kSmallPage, .installed = 3 * hot::kSmallPage, .factor = 2};
  add(100, 20);
  add(200, 20);
  work_off(*rests_);
  EXPECT_EQ(installed(), 3U);
  EXPECT_FALSE(rests_->has_work());
}

TEST_F(WindowRestsTest, NeverInstallsRemovedPages) {
  table_->mark_removed(guest_->address(102), guest_->address(110));
  add(100, 20);
  work_off(*rests_);
  EXPECT_EQ(installed(), 12U);
  for (uint64_t page = 102; page < 110; ++page) {
    EXPECT_FALSE(guest_->is_present(page)) << page;
  }
}

TEST_F(WindowRestsTest, ClipsASpanToItsRegion) {
  add(kPages - 4, 64);
  add(kPages, 8);
  work_off(*rests_);
  EXPECT_EQ(installed(), 4U);
}

TEST_F(WindowRestsTest, QueuesASpanOnceAndNoMoreThanItsLimit) {
  add(100, 20);
  add(105, 10);
  EXPECT_EQ(work_off(*rests_), 3) << "the second span is part of the first";
  for (uint64_t i = 0; i <= WindowRests::kMostSpans; ++i) {
    add(200 + 2 * i, 1);
  }
  EXPECT_EQ(work_off(*rests_), static_cast<int>(WindowRests::kMostSpans));
  add(900, 8);
  rests_->clear();
  EXPECT_FALSE(rests_->has_work());
}

TEST_F(WindowRestsTest, ARemovalInProgressStopsAPieceWhichIsThenRepeated) {
  add(100, 8);
  begin_removal(500);
  EXPECT_EQ(rests_->piece(kPiece), Stop::again);
  EXPECT_TRUE(rests_->has_work());
  EXPECT_EQ(installed(), 0U);
  finish_removal();
  work_off(*rests_);
  EXPECT_EQ(installed(), 8U);
}

TEST_F(WindowRestsTest, UnreadablePagesAreLeftToFaults) {
  if (!cut_image_at(104)) {
    GTEST_SKIP() << "this filesystem keeps a private copy";
  }
  add(100, 16);
  EXPECT_EQ(rests_->piece(kPiece), Stop::done) << "the four pages before";
  EXPECT_EQ(installed(), 4U);
  EXPECT_EQ(work_off(*rests_), 2) << "no page is tried twice";
}

TEST_F(WindowRestsTest, TheAreaAroundAPageIsQueuedWhenItIsDense) {
  touch(32, WindowRests::kDense - 1);
  rests_->add_if_dense(region(), 32);
  EXPECT_FALSE(rests_->has_work());
  touch(63, 1);
  rests_->add_if_dense(region(), 63);
  work_off(*rests_);
  EXPECT_EQ(installed(), 32U) << "the aligned 128 KiB";
  EXPECT_TRUE(guest_->is_present(32));
  rests_->add_if_dense(region(), 40);
  EXPECT_EQ(installed(), 32U);
  work_off(*rests_);
  EXPECT_EQ(installed(), 512U) << "now the aligned 2 MiB";
  rests_->add_if_dense(region(), 40);
  EXPECT_FALSE(rests_->has_work()) << "nothing is left";
}

TEST_F(WindowRestsTest, HolesDoNotCountAsTouched) {
  use_image({32, 33, 34, 35, 36, 37});
  rests_.emplace(*table_, *filler_, *image_, *cold_, credit_, counters_);
  if (image_->data().data_bytes(0, image_->size()) == image_->size()) {
    GTEST_SKIP() << "this filesystem knows no holes";
  }
  touch(32, 6 + WindowRests::kDense - 1);
  rests_->add_if_dense(region(), 38);
  EXPECT_FALSE(rests_->has_work());
  touch(50, 1);
  rests_->add_if_dense(region(), 50);
  EXPECT_TRUE(rests_->has_work());
}

}  // namespace
}  // namespace pager
