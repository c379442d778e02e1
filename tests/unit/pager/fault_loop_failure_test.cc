// SPDX-License-Identifier: Apache-2.0
// Tests faults that cannot be answered with the page of the image.
#include "pager/faults/fault_loop.h"

#include <sched.h>

#include <thread>

#include "tests/unit/pager/fault_loop_fixture.h"

namespace pager {
namespace {

TEST_F(FaultLoopTest, PoisonsOnlyTheUnreadablePageAfterRetries) {
  start({}, Window::fixed(8));
  // The file is truncated while it is served.
  ASSERT_EQ(::truncate((dir_ / "memory").c_str(), 100 * hot::kSmallPage), 0);
  if (image_->view() == Image::View::private_copy) {
    GTEST_SKIP() << "this filesystem keeps a private copy";
  }
  EXPECT_EQ(served(96), page_word(96));
  work_off();  // the rest of the window is unreadable, but no fault waits
  EXPECT_EQ(count(Count::read_errors), 1U);
  EXPECT_EQ(count(Count::pages_poisoned), 0U);
  EXPECT_TRUE(
      serve_until(std::async(std::launch::async, [this] { return guest_->is_poisoned(150); })));
  EXPECT_EQ(count(Count::pages_poisoned), 1U);
  EXPECT_GE(count(Count::retries), static_cast<uint64_t>(kReadAttempts) - 1);
  EXPECT_EQ(served(99), page_word(99));
  EXPECT_EQ(count(Count::waiting), 0U);
}

TEST_F(FaultLoopTest, ALaterGoodReadHealsAPoisonedPage) {
  start({}, Window::lazy());
  if (image_->view() == Image::View::private_copy) {
    GTEST_SKIP() << "this filesystem keeps a private copy";
  }
  mapping_->state().read_attempts = 1;
  ASSERT_EQ(::truncate((dir_ / "memory").c_str(), 100 * hot::kSmallPage), 0);
  EXPECT_TRUE(
      serve_until(std::async(std::launch::async, [this] { return guest_->is_poisoned(150); })));
  EXPECT_EQ(count(Count::retries), 0U);
  EXPECT_EQ(PageTable(mapping_->state()).next_poisoned(0), 150U);
  EXPECT_GT(loop_->wait_ns(), 100'000'000U);
  write_memory_file(dir_ / "memory", kPages);
  ASSERT_TRUE(wait_for_true([&] {
    loop_->step();
    return count(Count::pages_healed) == 1;
  }));
  EXPECT_EQ(guest_->word(150), page_word(150));
  EXPECT_EQ(PageTable(mapping_->state()).next_poisoned(0), std::nullopt);
  EXPECT_FALSE(loop_->wait_ns());
}

// ZEROPAGE returns EEXIST for a poisoned page as for a present one.
TEST_F(FaultLoopTest, APoisonedPageOfStoredZerosIsHealedToo) {
  start({}, Window::lazy());
  if (image_->view() == Image::View::private_copy) {
    GTEST_SKIP() << "this filesystem keeps a private copy";
  }
  mapping_->state().read_attempts = 1;
  ASSERT_EQ(::truncate((dir_ / "memory").c_str(), 100 * hot::kSmallPage), 0);
  EXPECT_TRUE(
      serve_until(std::async(std::launch::async, [this] { return guest_->is_poisoned(150); })));
  // Stored zeros, not a hole, because the map of holes was read at the start.
  ASSERT_EQ(::truncate((dir_ / "memory").c_str(), kPages * hot::kSmallPage), 0);
  ASSERT_TRUE(wait_for_true([&] {
    loop_->step();
    return count(Count::pages_healed) == 1;
  }));
  ASSERT_FALSE(guest_->is_poisoned(150));
  EXPECT_EQ(guest_->word(150), 0U);
}

TEST_F(FaultLoopTest, HealsAllPoisonedPages) {
  start({}, Window::lazy());
  if (image_->view() == Image::View::private_copy) {
    GTEST_SKIP() << "this filesystem keeps a private copy";
  }
  mapping_->state().read_attempts = 1;
  ASSERT_EQ(::truncate((dir_ / "memory").c_str(), hot::kSmallPage), 0);
  constexpr uint64_t kPoisoned = 150;  // more than one round, or one pass over a broken disk
  testing::internal::CaptureStderr();
  for (uint64_t page = 1; page <= kPoisoned; ++page) {
    ASSERT_TRUE(serve_until(
        std::async(std::launch::async, [this, page] { return guest_->is_poisoned(page); })));
  }
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_LE(std::ranges::count(log, '\n'), 12) << "one line for each page is a flood";
  write_memory_file(dir_ / "memory", kPages);
  ASSERT_TRUE(wait_for_true([&] {
    const uint64_t before = count(Count::pages_healed);
    loop_->step();
    EXPECT_LE(count(Count::pages_healed) - before, 32U) << "faults wait for the end of a round";
    return count(Count::pages_healed) == kPoisoned;
  }));
  for (uint64_t page = 1; page <= kPoisoned; ++page) {
    EXPECT_EQ(guest_->word(page), page_word(page));
  }
  EXPECT_FALSE(loop_->wait_ns());
}

TEST_F(FaultLoopTest, AFaultOutsideOfAllRegionsIsPoisoned) {
  write_memory_file(dir_ / "memory", kPages);
  image_ = Image::open(dir_ / "memory");
  hot::Region region = guest_->region();
  region.size /= 2;
  start_with_image({region}, Window::fixed(1), OnFailure::poison);
  EXPECT_TRUE(
      serve_until(std::async(std::launch::async, [this] { return guest_->is_poisoned(200); })));
  EXPECT_EQ(served(127), page_word(127));
}

TEST_F(FaultLoopTest, ClosesTheUserfaultfdOfAForkedVmm) {
  start();
  for (int i = 0; i < 2; ++i) {
    const int fork = ::fcntl(guest_->uffd(), F_DUPFD_CLOEXEC, 0);
    ASSERT_GE(fork, 0);
    uffd_msg message{};
    message.event = UFFD_EVENT_FORK;
    message.arg.fork.ufd = static_cast<uint32_t>(fork);
    loop_->handle(std::vector<uffd_msg>{message});
    EXPECT_LT(::fcntl(fork, F_GETFD), 0) << "the table of the server fills";
  }
  EXPECT_EQ(served(9), page_word(9));
}

TEST_F(FaultLoopTest, WriteProtectAndMinorFaultsKillTheVmm) {
  for (const int flag : {UFFD_PAGEFAULT_FLAG_WP, UFFD_PAGEFAULT_FLAG_MINOR}) {
    start();
    uffd_msg message = fault_at(guest_->address(9));
    message.arg.pagefault.flags = static_cast<uint64_t>(flag);
    const uint64_t calls = count(Count::copies);
    loop_->handle(std::vector<uffd_msg>{message});
    EXPECT_FALSE(loop_->step());
    EXPECT_EQ(count(Count::copies), calls);
  }
}

}  // namespace
}  // namespace pager
