// SPDX-License-Identifier: Apache-2.0
// Tests the fault loop: windows, holes, removals, and pages that are already present.
#include "pager/faults/fault_loop.h"

#include <sched.h>

#include <thread>

#include "tests/unit/pager/fault_loop_fixture.h"

namespace pager {
namespace {

TEST_F(FaultLoopTest, ServesEachPageFromItsFileOffset) {
  start();
  for (const uint64_t page : {7U, 0U, 255U, 100U}) {
    EXPECT_EQ(served(page), page_word(page));
  }
  EXPECT_EQ(count(Count::faults), 4U);
  EXPECT_EQ(count(Count::pages_copied), 4U);
  EXPECT_EQ(count(Count::zero_faults), 0U);
}

TEST_F(FaultLoopTest, SequentialAccessOpensAWindow) {
  start();
  for (uint64_t page = 0; page < kPages; ++page) {
    ASSERT_EQ(served(page), page_word(page)) << page;
  }
  // 1, 4, 16, then 32 at a time.
  EXPECT_LE(count(Count::faults), 3 + (kPages + 31) / 32);
  EXPECT_EQ(count(Count::pages_copied), kPages);
  work_off();
  EXPECT_FALSE(loop_->wait_ns()) << "the stream ends at the end of memory";
}

TEST_F(FaultLoopTest, AWindowOfOnePageInstallsOnlyThatPage) {
  start({}, Window::fixed(1));
  for (uint64_t page = 0; page < 40; ++page) {
    ASSERT_EQ(served(page), page_word(page));
  }
  EXPECT_EQ(count(Count::faults), 40U);
}

// In real memory holes, present pages and pages with data alternate. None of them may end a
// sequential stream.
TEST_F(FaultLoopTest, HolesDoNotEndASequentialStream) {
  std::set<uint64_t> holes;
  for (uint64_t page = 0; page < kPages; page += 3) {
    holes.insert(page);
  }
  start(holes);
  for (uint64_t page = 0; page < kPages; ++page) {
    ASSERT_EQ(served(page), page % 3 == 0 ? 0 : page_word(page)) << page;
  }
  EXPECT_LE(count(Count::faults), 4 + (kPages + 31) / 32);
}

TEST_F(FaultLoopTest, DenseRandomAccessFillsItsAreaAndSparseAccessDoesNot) {
  start();
  for (const uint64_t page : {1U, 12U, 24U, 80U, 110U, 150U, 180U, 220U}) {
    EXPECT_EQ(served(page), page_word(page));
  }
  work_off();
  EXPECT_EQ(count(Count::pages_copied), 8U) << "no block has four pages";
  EXPECT_EQ(served(5), page_word(5));
  work_off();
  EXPECT_EQ(count(Count::pages_copied), 8 + 29U) << "the rest of the first block";
  EXPECT_TRUE(guest_->is_present(31));
  EXPECT_FALSE(guest_->is_present(32));
}

TEST_F(FaultLoopTest, AWindowNeverInstallsOverRemovedPages) {
  start({}, Window::fixed(32));
  removed(4, 4);
  EXPECT_EQ(served(0), page_word(0));
  work_off();
  EXPECT_EQ(served(1), page_word(1));
  EXPECT_EQ(count(Count::pages_copied), 28U);
  for (uint64_t page = 4; page < 8; ++page) {
    EXPECT_FALSE(guest_->is_present(page));
  }
  for (uint64_t page = 4; page < 8; ++page) {
    EXPECT_EQ(served(page), 0U);
  }
}

TEST_F(FaultLoopTest, ZeroPagesHolesInRunsWithoutReading) {
  std::set<uint64_t> holes;
  for (uint64_t page = 70; page < 120; ++page) {
    holes.insert(page);
  }
  start(holes);
  EXPECT_EQ(served(100), 0U);
  work_off();
  EXPECT_EQ(count(Count::pages_zeroed), 50U);
  EXPECT_EQ(count(Count::bytes_read), 0U);
  EXPECT_FALSE(guest_->is_present(69));
  EXPECT_EQ(served(120), page_word(120));
  EXPECT_EQ(served(69), page_word(69));
}

TEST_F(FaultLoopTest, DoesNotCopyZeroPagesThatTheFileStores) {
  write_memory_file(dir_ / "memory", kPages);
  const std::vector<std::byte> zeros(3 * hot::kSmallPage);
  base::pwrite_full(base::open_file(dir_ / "memory", O_WRONLY).get(), zeros, 10 * hot::kSmallPage,
                    "x");
  image_ = Image::open(dir_ / "memory");
  start_with_image({guest_->region()}, Window::fixed(32), OnFailure::poison);
  EXPECT_EQ(served(8), page_word(8));
  work_off();
  EXPECT_EQ(count(Count::pages_zeroed), 3U);
  EXPECT_EQ(count(Count::pages_copied), 29U);
  for (uint64_t page = 0; page < 32; ++page) {
    EXPECT_EQ(guest_->word(page), page >= 10 && page < 13 ? 0 : page_word(page)) << page;
  }
}

// A sealed image is copied from its mapping, so its bytes are not inspected.
TEST_F(FaultLoopTest, DoesNotCopyZeroPagesOfASealedImage) {
  write_memory_file(dir_ / "memory", kPages);
  const std::vector<std::byte> zeros(3 * hot::kSmallPage);
  const base::Fd file = base::open_file(dir_ / "memory", O_WRONLY);
  base::pwrite_full(file.get(), zeros, 10 * hot::kSmallPage, "x");
  base::pwrite_full(file.get(), std::span(zeros).first(8), 20 * hot::kSmallPage, "x");
  ASSERT_EQ(::fchmod(file.get(), 0400), 0);
  image_ = Image::open(dir_ / "memory");
  ASSERT_FALSE(image_->mapped().empty());
  start_with_image({guest_->region()}, Window::fixed(32), OnFailure::poison);
  EXPECT_EQ(served(8), page_word(8));
  work_off();
  EXPECT_EQ(count(Count::pages_zeroed), 3U);
  EXPECT_EQ(count(Count::pages_copied), 29U);
  for (uint64_t page = 0; page < 32; ++page) {
    EXPECT_EQ(guest_->word(page), page == 20 || (page >= 10 && page < 13) ? 0 : page_word(page))
        << page;
    EXPECT_EQ(guest_->word(page, 1), page >= 10 && page < 13 ? 0 : page_word(page)) << page;
  }
}

TEST_F(FaultLoopTest, RemovedPagesAlwaysReadAsZeros) {
  start();
  EXPECT_EQ(served(20), page_word(20));
  removed(16, 8);
  for (int round = 0; round < 3; ++round) {
    for (uint64_t page = 16; page < 24; ++page) {
      EXPECT_EQ(served(page), 0U) << page;
    }
    removed(16, 8);
  }
  EXPECT_EQ(served(15), page_word(15));
  EXPECT_EQ(served(24), page_word(24));
  EXPECT_EQ(count(Count::pages_removed), 8U);
}

// The kernel returns faults before removals, so a fault may be read before the removal that it
// followed.
TEST_F(FaultLoopTest, ARemovalAppliesToEarlierFaultsOfItsBatch) {
  FaultLoop& loop = start();
  const std::vector<uffd_msg> batch{fault_at(guest_->address(5)),
                                    removal_of(guest_->address(5), guest_->address(6))};
  loop.handle(batch);
  EXPECT_EQ(served(5), 0U);
}

TEST_F(FaultLoopTest, ARemovalMaySpanRegionsAndExceedThem) {
  write_memory_file(dir_ / "memory", kPages);
  image_ = Image::open(dir_ / "memory");
  // Two regions, the lower addresses at the end of the file, and a part outside of all regions.
  const hot::Region whole = guest_->region();
  const uint64_t half = whole.size / 2;
  const std::vector<hot::Region> regions{
      {.base = whole.base + half, .size = half, .offset = 0},
      {.base = whole.base, .size = half - 8 * hot::kSmallPage, .offset = half}};
  FaultLoop& loop = start_with_image(regions, Window::fixed(1), OnFailure::poison);
  const std::vector<uffd_msg> batch{
      removal_of(guest_->address(100), guest_->address(140)), removal_of(0, guest_->address(2)),
      removal_of(guest_->address(254), ~uint64_t{0} - hot::kSmallPage + 1)};
  loop.handle(batch);
  EXPECT_EQ(count(Count::pages_removed), 20 + 12 + 2 + 2U);
  EXPECT_EQ(served(1), 0U);
  EXPECT_EQ(served(2), page_word(130));
  EXPECT_EQ(served(119), 0U);
  EXPECT_EQ(served(128), 0U);
  EXPECT_EQ(served(140), page_word(12));
  EXPECT_EQ(served(255), 0U);
}

// Another process (an earlier server) has installed the page without waking the waiters.
TEST_F(FaultLoopTest, AFaultOnAPresentPageIsWoken) {
  start();
  std::future<uint64_t> touched = guest_->touch(9);
  ASSERT_TRUE(guest_->wait_for_unread_faults(1));
  std::vector<std::byte> page(hot::kSmallPage, std::byte{0x11});
  ASSERT_EQ(
      uffd_copy(guest_->uffd(), guest_->address(9), page.data(), hot::kSmallPage, Wake::no).error,
      0);
  EXPECT_EQ(serve_until(std::move(touched)), 0x1111111111111111U);
  EXPECT_EQ(count(Count::hit_before), 1U);
}

TEST_F(FaultLoopTest, AWindowContinuesAfterAPresentPage) {
  start({}, Window::fixed(32));
  std::vector<std::byte> page(hot::kSmallPage, std::byte{0x11});
  for (const uint64_t there : {3U, 4U, 9U}) {
    ASSERT_EQ(uffd_copy(guest_->uffd(), guest_->address(there), page.data(), hot::kSmallPage).error,
              0);
  }
  EXPECT_EQ(served(0), page_word(0));
  work_off();
  for (uint64_t i = 0; i < 32; ++i) {
    EXPECT_TRUE(guest_->is_present(i)) << i;
    EXPECT_EQ(guest_->word(i), i == 3 || i == 4 || i == 9 ? 0x1111111111111111U : page_word(i));
  }
}

TEST_F(FaultLoopTest, AFaultDuringARemovalIsKeptAndAnswered) {
  FaultLoop& loop = start();
  std::future<uint64_t> touched = guest_->touch(50);
  ASSERT_TRUE(guest_->wait_for_unread_faults(1));
  // Read the message of the fault, so that only a removal is unread.
  std::array<uffd_msg, 4> messages{};
  ASSERT_EQ(uffd_read(guest_->uffd(), messages), 1U);
  std::future<bool> removal = guest_->remove(60, 1);
  ASSERT_TRUE(wait_for_true([&] { return uffd_readable(guest_->uffd()); }));
  loop.handle(std::span(messages).first(1));
  EXPECT_EQ(count(Count::waiting), 1U);
  EXPECT_GE(count(Count::eagain), 1U);
  EXPECT_LT(count(Count::eagain), 20U) << "nothing can succeed before the removal is read";
  EXPECT_TRUE(loop.wait_ns().has_value());
  // After repeated misses, leave the core to the thread that removes.
  constexpr int kMoves = 20;
  int moves = 0;
  for (int i = 0; i < kMoves; ++i) {
    const int before = ::sched_getcpu();
    for (int missed = 0; missed < FaultHandler::kMissedMoments; ++missed) {
      loop.handle({});
    }
    moves += ::sched_getcpu() != before ? 1 : 0;
  }
  if (std::thread::hardware_concurrency() > 1) {
    EXPECT_GE(moves, kMoves / 2);
  }
  EXPECT_EQ(serve_until(std::move(touched)), page_word(50));
  EXPECT_TRUE(serve_until(std::move(removal)));
  EXPECT_EQ(count(Count::waiting), 0U);
  EXPECT_FALSE(loop.wait_ns().has_value());
}

TEST_F(FaultLoopTest, AFaultOnUnregisteredMemoryIsWoken) {
  FaultLoop& loop = start();
  ASSERT_EQ(uffd_unregister(guest_->uffd(), guest_->address(0), kPages * hot::kSmallPage), 0);
  loop.handle(std::vector<uffd_msg>{fault_at(guest_->address(5))});
  EXPECT_EQ(count(Count::waiting), 0U);
  EXPECT_EQ(count(Count::copy_errors), 0U);
}

TEST_F(FaultLoopTest, TheStateHoldsOnlyTheEventsOfTheLastRead) {
  FaultLoop& loop = start({}, Window::fixed(1));
  std::vector<std::future<uint64_t>> touched;
  for (uint64_t page = 0; page < 8; ++page) {
    touched.push_back(guest_->touch(page));
  }
  ASSERT_TRUE(guest_->wait_for_unread_faults(8));
  loop.step();
  const auto& events = mapping_->state().events;
  EXPECT_EQ(std::ranges::count(events, UFFD_EVENT_PAGEFAULT, &uffd_msg::event), 8);
  loop.step();
  EXPECT_EQ(std::ranges::count(events, 0, &uffd_msg::event), std::ssize(events));
  for (uint64_t page = 0; page < 8; ++page) {
    EXPECT_EQ(touched[page].get(), page_word(page));
  }
}

// Removals concurrent with touches by several threads: once madvise has returned, a page always
// reads as zeros.
TEST_F(FaultLoopTest, NoPageIsStaleUnderConcurrentRemovals) {
  start();
  std::atomic<bool> end{false};
  std::atomic<uint64_t> stale{0};
  std::array<std::atomic<bool>, kPages> gone{};
  std::vector<std::future<void>> threads;
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    threads.push_back(std::async(std::launch::async, [&, seed] {
      uint64_t random = seed;
      while (!end) {
        random = random * 6364136223846793005 + 1442695040888963407;
        const uint64_t page = (random >> 33U) % kPages;
        const bool was_gone = gone[page];
        const uint64_t word = guest_->word(page);
        if (word != 0 && (was_gone || word != page_word(page))) {
          ++stale;
        }
      }
    }));
  }
  std::future<void> balloon = std::async(std::launch::async, [&] {
    uint64_t random = 99;
    for (int round = 0; round < 3000; ++round) {
      random = random * 6364136223846793005 + 1442695040888963407;
      const uint64_t page = (random >> 33U) % kPages;
      guest_->remove(page, 1).get();
      gone[page] = true;
    }
  });
  serve_until(std::move(balloon));
  end = true;
  for (auto& thread : threads) {
    serve_until(std::move(thread));
  }
  EXPECT_EQ(stale, 0U);
  EXPECT_EQ(count(Count::waiting), 0U);
}

// VmmWatch reports a message once. A read that returned as many as fit may have left others.
TEST_F(FaultLoopTest, DoesNotWaitAfterAReadOfAsManyMessagesAsFit) {
  FaultLoop& loop = start({}, Window::fixed(1));
  constexpr uint64_t kFaults = SessionState::kEvents + 6;
  std::vector<std::future<uint64_t>> touches;
  for (uint64_t page = 0; page < kFaults; ++page) {
    touches.push_back(guest_->touch(page));
  }
  const std::string pending = "pending:\t" + std::to_string(kFaults) + "\n";
  ASSERT_TRUE(wait_for_true([&] {
    return base::read_file("/proc/self/fdinfo/" + std::to_string(guest_->uffd()), 4096)
               .find(pending) != std::string::npos;
  }));
  loop.step();
  EXPECT_EQ(count(Count::faults), SessionState::kEvents);
  EXPECT_EQ(loop.wait_ns(), 0U);
  loop.step();
  EXPECT_EQ(count(Count::faults), kFaults);
  EXPECT_EQ(loop.wait_ns(), std::nullopt);
  for (uint64_t page = 0; page < kFaults; ++page) {
    EXPECT_EQ(touches[page].get(), page_word(page));
  }
}

}  // namespace
}  // namespace pager
