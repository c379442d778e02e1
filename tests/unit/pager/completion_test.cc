// SPDX-License-Identifier: Apache-2.0
// Tests completions, and other orders to a running guest.
#include "pager/faults/completion.h"

#include <sys/socket.h>

#include "pager/faults/pagemap.h"
#include "pager/kernel/features.h"
#include "tests/unit/pager/fault_loop_fixture.h"
#include "tests/unit/pager/stranger.h"

namespace pager {
namespace {

using State = Completion::State;

Vmm ourselves() {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    base::throw_errno("cannot make a socket pair");
  }
  const base::Fd one(pair[0]);
  const base::Fd other(pair[1]);
  return Vmm::of_peer(one.get());
}

class CompletionTest : public FaultLoopTest {
 protected:
  // With a VMM whose pagemap can be read, or without.
  std::shared_ptr<Completion> complete(uint64_t bytes_per_second = 0) {
    auto completion = std::make_shared<Completion>(bytes_per_second);
    loop_->complete(completion);
    return completion;
  }
  // Runs until the completion ends, as Session::serve does.
  void step_until_ended(const Completion& completion) {
    for (int i = 0; i < 100'000 && completion.state() == State::running; ++i) {
      loop_->step();
    }
  }
  // The loop no longer serves. Reads each page as it is in the VMM.
  void expect_all(const std::function<uint64_t(uint64_t)>& expected) {
    for (uint64_t page = 0; page < kPages; ++page) {
      ASSERT_EQ(guest_->word(page), expected(page)) << page;
    }
  }
};

TEST_F(CompletionTest, InstallsAllPagesAndUnregisters) {
  vmm_ = ourselves();
  start({3, 4, 5, 77});
  EXPECT_EQ(served(9), page_word(9));
  const auto completion = complete();
  step_until_ended(*completion);
  EXPECT_EQ(completion->state(), State::done);
  EXPECT_TRUE(loop_->detached());
  loop_.reset();
  expect_all(
      [](uint64_t page) { return page == 77 || (page >= 3 && page <= 5) ? 0 : page_word(page); });
  // No thread reads events, and none is needed.
  EXPECT_TRUE(guest_->remove(9, 1).get());
  EXPECT_EQ(guest_->word(9), 0U);
}

TEST_F(CompletionTest, WithoutAPagemapEachPageIsCopiedAgain) {
  start();
  const auto completion = complete();
  step_until_ended(*completion);
  EXPECT_EQ(completion->state(), State::done) << completion->why();
  EXPECT_GE(count(Count::copies), kPages / 32 + kPages) << "EEXIST for each";
  loop_.reset();
  expect_all(page_word);
}

TEST_F(CompletionTest, RemovedPagesStayZero) {
  vmm_ = ourselves();
  start();
  EXPECT_EQ(served(20), page_word(20));
  removed(16, 8);
  const auto completion = complete();
  loop_->step();
  removed(100, 50);  // during the completion
  step_until_ended(*completion);
  EXPECT_EQ(completion->state(), State::done);
  loop_.reset();
  expect_all([](uint64_t page) {
    return (page >= 16 && page < 24) || (page >= 100 && page < 150) ? 0 : page_word(page);
  });
}

// Memory of another kind in the middle of a region belongs to the VMM, whatever was there before.
TEST_F(CompletionTest, LeavesPagesAloneThatTheVmmHasReplaced) {
  const auto map_over = [&](uint64_t page, uint64_t pages, int flags, int fd) {
    void* at = reinterpret_cast<void*>(guest_->address(page));
    ASSERT_EQ(::mmap(at, pages * hot::kSmallPage, PROT_READ | PROT_WRITE, MAP_FIXED | flags, fd, 0),
              at);
  };
  for (const bool known : {true, false}) {
    guest_.emplace(kPages);
    vmm_ = known ? ourselves() : Vmm();
    start();
    EXPECT_EQ(served(65), page_word(65));
    write_memory_file(dir_ / "other", 8);
    const base::Fd other = base::open_file(dir_ / "other", O_RDWR);
    const auto completion = complete();
    loop_->step();
    map_over(10, 5, MAP_PRIVATE | MAP_ANONYMOUS, -1);  // installed before
    map_over(64, 8, MAP_PRIVATE, other.get());         // in part
    map_over(201, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    step_until_ended(*completion);
    EXPECT_EQ(completion->state(), State::done) << completion->why();
    EXPECT_EQ(count(Count::pages_gone), known ? 20U : 40U) << "of both rounds";
    loop_.reset();
    expect_all([](uint64_t page) {
      const bool zero = (page >= 10 && page < 15) || (page >= 201 && page < 208);
      const bool of_file = page >= 64 && page < 72;
      return zero ? 0 : of_file ? page_word(page - 64) : page_word(page);
    });
    EXPECT_TRUE(guest_->remove(100, 1).get()) << "no part of it is registered";
    EXPECT_EQ(guest_->word(100), 0U);
  }
}

// A wrong bitmap must not become zeros in a guest.
TEST_F(CompletionTest, InstallsPagesThatTheKernelLacksBeforeItDetaches) {
  vmm_ = ourselves();
  start();
  PageTable(mapping_->state()).mark_installed(30, 12);  // it was not
  const auto completion = complete();
  step_until_ended(*completion);
  EXPECT_EQ(completion->state(), State::done);
  loop_.reset();
  expect_all(page_word);
}

// A launcher has sent the userfaultfd of a VMM that it started. It has nothing, or other memory,
// mapped where the regions are.
TEST_F(CompletionTest, IgnoresThePagemapOfAnotherProcess) {
  const Stranger stranger(dir_ / "s", guest_->region());
  for (const char* without : {"", "pagemap-scan"}) {
    features().probe(without);
    guest_.emplace(kPages);
    vmm_ = stranger.as_vmm();
    start();
    PageTable(mapping_->state()).mark_installed(30, 12);  // it was not
    const auto completion = complete();
    step_until_ended(*completion);
    EXPECT_EQ(completion->state(), State::done) << completion->why();
    EXPECT_GE(count(Count::copies), kPages - 12) << "each page is tried again";
    expect_all(page_word);
    loop_.reset();
  }
  features().probe("");
}

TEST_F(CompletionTest, AnswersFaultsFirst) {
  vmm_ = ourselves();
  start({}, Window::lazy());
  const auto completion = complete();
  std::future<uint64_t> touched = guest_->touch(250);
  ASSERT_TRUE(guest_->wait_for_unread_faults(1));
  loop_->step();
  EXPECT_EQ(touched.get(), page_word(250));
  EXPECT_EQ(count(Count::pages_copied), 1U);
}

TEST_F(CompletionTest, KeepsItsRateLimit) {
  vmm_ = ourselves();
  start();
  const auto completion = complete(PageFiller::kMaxBytes);  // one piece a second
  for (int i = 0; i < 1000; ++i) {
    loop_->step();
  }
  EXPECT_EQ(count(Count::pages_copied), 32U);
  const std::optional<uint64_t> wait = loop_->wait_ns();
  ASSERT_TRUE(wait);
  EXPECT_GT(*wait, 1000U) << "the loop waits for its rate";
  EXPECT_EQ(completion->state(), State::running);
}

TEST_F(CompletionTest, APauseStopsItAndAnotherOrderContinuesIt) {
  vmm_ = ourselves();
  start();
  const auto first = complete();
  loop_->step();
  loop_->pause();
  EXPECT_EQ(first->state(), State::paused);
  EXPECT_FALSE(loop_->wait_ns());
  const uint64_t copied = count(Count::pages_copied);
  EXPECT_GT(copied, 0U);
  loop_->step();
  EXPECT_EQ(count(Count::pages_copied), copied);
  loop_->prefetch(nullptr);
  EXPECT_EQ(first->state(), State::running);
  loop_->pause();
  const auto second = complete();
  step_until_ended(*second);
  EXPECT_EQ(second->state(), State::done);
  EXPECT_EQ(count(Count::pages_copied), kPages) << "nothing twice";
}

TEST_F(CompletionTest, UnreadablePagesEndItAndTheGuestIsStillServed) {
  vmm_ = ourselves();
  start();
  if (image_->view() == Image::View::private_copy) {
    GTEST_SKIP() << "this filesystem keeps a private copy";
  }
  ASSERT_EQ(::truncate((dir_ / "memory").c_str(), 200 * hot::kSmallPage), 0);
  const auto completion = complete();
  step_until_ended(*completion);
  EXPECT_EQ(completion->state(), State::failed);
  EXPECT_NE(completion->why().find("cannot be read"), std::string::npos) << completion->why();
  EXPECT_FALSE(loop_->detached());
  EXPECT_EQ(served(5), page_word(5));
}

// The image is readable again, but the fault waits for its next attempt.
TEST_F(CompletionTest, AnswersKeptFaults) {
  vmm_ = ourselves();
  start();
  if (image_->view() == Image::View::private_copy) {
    GTEST_SKIP() << "this filesystem keeps a private copy";
  }
  mapping_->state().read_attempts = kMostReadAttempts;
  ASSERT_EQ(::truncate((dir_ / "memory").c_str(), 100 * hot::kSmallPage), 0);
  loop_->handle(std::vector<uffd_msg>{fault_at(guest_->address(150))});
  ASSERT_TRUE(wait_for_true([&] {
    loop_->step();
    return loop_->wait_ns() > 500'000'000U;
  }));
  EXPECT_EQ(count(Count::waiting), 1U);
  write_memory_file(dir_ / "memory", kPages);
  const auto completion = complete();
  step_until_ended(*completion);
  EXPECT_EQ(completion->state(), State::done) << completion->why();
  EXPECT_EQ(count(Count::waiting), 0U);
  EXPECT_FALSE(loop_->wait_ns());
}

TEST_F(CompletionTest, ASecondListFollowsTheFirstAndAPauseStopsBoth) {
  start({}, Window::lazy());
  const auto list = [](uint64_t first, uint64_t pages) {
    hot::HotList contents;
    contents.runs.push_back(
        {.region = 0, .count = static_cast<uint32_t>(pages), .offset = first * hot::kSmallPage});
    return std::make_shared<HotFile>("list", std::move(contents));
  };
  loop_->prefetch(list(0, 64));
  loop_->prefetch(list(128, 40));
  loop_->step();
  loop_->pause();
  EXPECT_FALSE(loop_->wait_ns());
  loop_->step();
  EXPECT_EQ(count(Count::pages_prefetched), 32U);
  loop_->prefetch(nullptr);
  work_off();
  EXPECT_EQ(count(Count::pages_prefetched), 104U);
}

// A hole of an image is zero whether the server or the kernel answers the fault, so the kernel may.
TEST(ReleaseHoles, TheKernelFillsLargeHolesAlsoAfterRemovals) {
  constexpr uint64_t kMany = 3072;  // 12 MiB
  std::optional<TestGuest> guest;
  try {
    guest.emplace(kMany);
  } catch (const base::Unsupported& error) {
    GTEST_SKIP() << error.what();
  }
  const ScratchDir dir;
  std::set<uint64_t> holes;
  for (uint64_t page = 256; page < 2560; ++page) {
    holes.insert(page);
  }
  write_memory_file(dir / "memory", kMany, holes);
  const auto image = Image::open(dir / "memory");
  if (image->data().data_bytes(0, image->size()) == image->size()) {
    GTEST_SKIP() << "this filesystem knows no holes";
  }
  StateMapping mapping(std::vector<hot::Region>{guest->region()}, image->identity());
  Counters counters;
  const Vmm vmm;
  const SessionLog log("test", 0, 0);
  FaultLoop loop({.uffd = guest->uffd(),
                  .state = mapping.state(),
                  .image = *image,
                  .vmm = vmm,
                  .counters = counters,
                  .log = log,
                  .trace = nullptr},
                 Window::automatic(0));
  loop.release_holes();
  EXPECT_GE(counters.get(Count::bytes_released), 6U << 20U);
  EXPECT_EQ(guest->word(1500), 0U) << "the kernel filled it without a server";
  EXPECT_TRUE(guest->remove(1500, 1).get());
  EXPECT_EQ(guest->word(1500), 0U);
  // Across the edge of the hole, and next to it.
  std::future<bool> removal = guest->remove(200, 700);
  while (removal.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    loop.step();
  }
  std::future<uint64_t> touched = guest->touch(210);
  while (touched.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    loop.step();
  }
  EXPECT_EQ(touched.get(), 0U);
  touched = guest->touch(2600);
  while (touched.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    loop.step();
  }
  EXPECT_EQ(touched.get(), page_word(2600));
}

TEST(PagemapTest, ReportsMissingPagesButNotPoisonedOnes) {
  std::optional<TestGuest> guest;
  try {
    guest.emplace(64);
  } catch (const base::Unsupported& error) {
    GTEST_SKIP() << error.what();
  }
  const std::vector<std::byte> page(hot::kSmallPage, std::byte{1});
  ASSERT_EQ(uffd_copy(guest->uffd(), guest->address(5), page.data(), hot::kSmallPage).error, 0);
  ASSERT_EQ(uffd_zeropage(guest->uffd(), guest->address(6), hot::kSmallPage).error, 0);
  const bool poisoned = uffd_poison(guest->uffd(), guest->address(9), hot::kSmallPage).error == 0;
  const auto missing_of = [&] {
    const auto view = Pagemap::open(ourselves());
    const auto ranges = view->missing(guest->address(0), guest->address(64));
    std::set<uint64_t> pages;
    for (const AddressRange& range : *ranges) {
      for (uint64_t at = range.start; at < range.end; at += hot::kSmallPage) {
        pages.insert((at - guest->base()) / hot::kSmallPage);
      }
    }
    return pages;
  };
  for (const char* without : {"", "pagemap-scan"}) {
    features().probe(without);
    const std::set<uint64_t> missing = missing_of();
    EXPECT_EQ(missing.size(), poisoned ? 61U : 62U) << without;
    EXPECT_FALSE(missing.contains(5));
    EXPECT_FALSE(missing.contains(6));
    EXPECT_EQ(missing.contains(9), !poisoned);
  }
  features().probe("");
}

}  // namespace
}  // namespace pager
