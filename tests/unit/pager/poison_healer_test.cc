// SPDX-License-Identifier: Apache-2.0
// Tests the passes over poisoned pages.
#include "pager/faults/poison_healer.h"

#include "pager/kernel/clock.h"
#include "tests/unit/pager/idle_work_fixture.h"

namespace pager {
namespace {

// The pages are poisoned in the state only; the kernel takes a COPY in either case.
class PoisonHealerTest : public IdleWorkTest {
 protected:
  void SetUp() override {
    IdleWorkTest::SetUp();
    if (!IsSkipped()) {
      healer_.emplace(*table_, *filler_, *image_, log_);
    }
  }
  void add(uint64_t first, uint64_t pages) {
    for (uint64_t page = first; page < first + pages; ++page) {
      healer_->add(page);
    }
  }
  uint64_t due_in() const {
    const uint64_t now = monotonic_ns();
    return healer_->due_ns() - std::min(now, healer_->due_ns());
  }

  std::optional<PoisonHealer> healer_;
};

TEST_F(PoisonHealerTest, APoisonedPageIsReadAgainWithinASecond) {
  EXPECT_FALSE(healer_->has_work());
  const uint64_t before = monotonic_ns();
  add(7, 1);
  EXPECT_TRUE(healer_->has_work());
  const uint64_t due = healer_->due_ns();
  EXPECT_GE(due, before + kSecond);
  EXPECT_LE(due, monotonic_ns() + kSecond);
  add(8, 1);
  EXPECT_EQ(healer_->due_ns(), due) << "further pages do not delay it";
  healer_->piece();
  EXPECT_EQ(guest_->word(7), page_word(7));
  EXPECT_EQ(table_->healed_pages(), 2U);
  EXPECT_FALSE(healer_->has_work());
}

TEST_F(PoisonHealerTest, ARoundIsShort) {
  add(0, PoisonHealer::kRoundPages + 8);
  EXPECT_EQ(healer_->piece(), Stop::done);
  EXPECT_EQ(table_->healed_pages(), static_cast<uint64_t>(PoisonHealer::kRoundPages));
  healer_->piece();
  EXPECT_FALSE(healer_->has_work());
}

TEST_F(PoisonHealerTest, ARoundReadsOnePageThatCannotBeRead) {
  if (!cut_image_at(100)) {
    GTEST_SKIP() << "this filesystem keeps a private copy";
  }
  add(100, 10);
  add(50, 3);
  EXPECT_EQ(healer_->piece(), Stop::unreadable);
  EXPECT_EQ(table_->healed_pages(), 3U);
  EXPECT_EQ(count(Count::read_errors), 1U);
}

TEST_F(PoisonHealerTest, APassEndsAfterFailuresAndTheNextBeginsAfterThem) {
  if (!cut_image_at(1)) {
    GTEST_SKIP() << "this filesystem keeps a private copy";
  }
  constexpr auto kFailures = static_cast<uint64_t>(PoisonHealer::kMostFailures);
  add(1, kFailures + 2);
  const uint64_t due = healer_->due_ns();
  for (uint64_t i = 0; i + 1 < kFailures; ++i) {
    healer_->piece();
  }
  EXPECT_EQ(healer_->due_ns(), due) << "the pass continues in the next round";
  healer_->piece();
  EXPECT_GT(due_in(), kSecond) << "the interval doubles";
  write_memory_file(dir_ / "memory", kPages);
  healer_->piece();
  EXPECT_FALSE(table_->poisoned(kFailures + 1)) << "the page after the failures comes first";
  EXPECT_TRUE(table_->poisoned(1));
  healer_->piece();
  EXPECT_FALSE(table_->poisoned(1));
}

TEST_F(PoisonHealerTest, TheIntervalEndsAtAMinute) {
  if (!cut_image_at(1)) {
    GTEST_SKIP() << "this filesystem keeps a private copy";
  }
  add(5, 1);
  for (int i = 0; i < 40; ++i) {
    healer_->piece();  // every other one ends a pass
  }
  EXPECT_GT(due_in(), 30 * kSecond);
  EXPECT_LE(due_in(), 60 * kSecond);
}

TEST_F(PoisonHealerTest, ARemovalInProgressDelaysARound) {
  add(7, 1);
  begin_removal(500);
  EXPECT_EQ(healer_->piece(), Stop::again);
  EXPECT_LE(due_in(), kMillisecond);
  finish_removal();
  EXPECT_EQ(healer_->piece(), Stop::done);
  EXPECT_FALSE(healer_->has_work());
}

TEST_F(PoisonHealerTest, ASuccessorReadsThePagesAtOnce) {
  add(7, 1);
  healer_.emplace(*table_, *filler_, *image_, log_);
  EXPECT_TRUE(healer_->has_work());
  EXPECT_EQ(healer_->due_ns(), 0U);
}

TEST_F(PoisonHealerTest, LogsAPassThatHealed) {
  add(7, 3);
  testing::internal::CaptureStderr();
  healer_->piece();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("3 poisoned pages"), std::string::npos) << log;
  EXPECT_NE(log.find("0 are still poisoned"), std::string::npos) << log;
}

}  // namespace
}  // namespace pager
