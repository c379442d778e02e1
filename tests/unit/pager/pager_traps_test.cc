// SPDX-License-Identifier: Apache-2.0
// Tests for faults of other page servers that only the kernel's answers show (docs/traps.md).
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/unix_socket.h"
#include "tests/unit/child_process.h"
#include "tests/unit/pager/fault_loop_fixture.h"

namespace pager {
namespace {

class PagerTrapsTest : public FaultLoopTest {
 protected:
  // A fault whose answer meets an unread removal.
  std::future<uint64_t> fault_behind_a_removal(uint64_t page, std::future<bool>& removal) {
    std::future<uint64_t> touched = guest_->touch(page);
    EXPECT_TRUE(guest_->wait_for_unread_faults(1));
    std::array<uffd_msg, 4> messages{};
    EXPECT_EQ(uffd_read(guest_->uffd(), messages), 1U);
    removal = guest_->remove(200, 1);
    EXPECT_TRUE(wait_for_true([&] { return uffd_readable(guest_->uffd()); }));
    loop_->handle(std::span(messages).first(1));
    return touched;
  }
};

// Other servers took EAGAIN for success or for the end, or repeated the call forever in the thread
// that had to read the removal.
TEST_F(PagerTrapsTest, EagainIsRepeatedABoundedNumberOfTimes) {
  FaultLoop& loop = start();
  std::future<bool> removal;
  std::future<uint64_t> touched = fault_behind_a_removal(9, removal);
  constexpr uint64_t kRounds = 20;
  for (uint64_t round = 1; round <= kRounds; ++round) {
    EXPECT_GE(count(Count::eagain), round);
    EXPECT_LT(count(Count::eagain), round * 20) << "nothing can succeed before the removal is read";
    EXPECT_EQ(count(Count::pages_copied), 0U);
    EXPECT_EQ(count(Count::waiting), 1U);
    loop.handle({});
  }
  EXPECT_EQ(serve_until(std::move(touched)), page_word(9));
  EXPECT_TRUE(serve_until(std::move(removal)));
  EXPECT_EQ(count(Count::copy_errors), 0U);
}

// Detects a length in an int, or a loop over 2^31 bytes: one call removes 5 GiB and three pages.
TEST_F(PagerTrapsTest, ARemovalOfMoreThanTwoGibibytes) {
  constexpr uint64_t kGibibyte = uint64_t{1} << 30U;
  constexpr uint64_t kMany = 6 * kGibibyte / hot::kSmallPage;
  constexpr uint64_t kFirst = 101;
  constexpr uint64_t kCount = 5 * kGibibyte / hot::kSmallPage + 3;
  guest_.reset();
  guest_.emplace(kMany);
  const std::vector<uint64_t> before{0, kFirst - 1, kFirst + kCount, kMany - 1};
  const std::vector<uint64_t> within{kFirst, 2 * kGibibyte / hot::kSmallPage,
                                     4 * kGibibyte / hot::kSmallPage,
                                     5 * kGibibyte / hot::kSmallPage, kFirst + kCount - 1};
  write_memory_file(dir_ / "memory", 1);
  ASSERT_EQ(::truncate((dir_ / "memory").c_str(), static_cast<off_t>(kMany * hot::kSmallPage)), 0);
  const base::Fd file = base::open_file(dir_ / "memory", O_WRONLY);
  for (const auto* pages : {&before, &within}) {
    for (const uint64_t page : *pages) {
      const uint64_t word = page_word(page);
      base::pwrite_full(file.get(), std::as_bytes(std::span(&word, 1)),
                        static_cast<off_t>(page * hot::kSmallPage), "memory");
    }
  }
  image_ = Image::open(dir_ / "memory");
  start_with_image({guest_->region()}, Window::fixed(1), OnFailure::poison);
  EXPECT_EQ(served(within[2]), page_word(within[2]));
  removed(kFirst, kCount);
  EXPECT_EQ(count(Count::pages_removed), kCount);
  for (const uint64_t page : within) {
    EXPECT_EQ(served(page), 0U) << page;
  }
  for (const uint64_t page : before) {
    EXPECT_EQ(served(page), page_word(page)) << page;
  }
}

// A COPY that crosses two mappings, or no mapping, fails as a whole with ENOENT. The page of the
// fault and the other pages of the window must still be installed.
TEST_F(PagerTrapsTest, AWindowOverUnregisteredMemoryIsRetriedByPage) {
  FaultLoop& loop = start();
  constexpr uint64_t kFirst = 100;
  constexpr uint64_t kEnd = 105;
  void* const part = reinterpret_cast<void*>(guest_->address(kFirst));
  ASSERT_EQ(::mmap(part, (kEnd - kFirst) * hot::kSmallPage, PROT_READ,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
            part);
  loop.handle(std::vector<uffd_msg>{fault_at(guest_->address(kFirst))});  // read before the change
  EXPECT_EQ(count(Count::waiting), 0U);
  for (uint64_t page = 0; page < kPages; ++page) {  // sequential, so that windows are large
    if (page >= kFirst && page < kEnd) {
      EXPECT_EQ(guest_->word(page), 0U) << "the page belongs to the VMM";
    } else if (!guest_->is_present(page)) {
      std::future<uint64_t> touched = guest_->touch(page);
      ASSERT_TRUE(guest_->wait_for_unread_faults(1));
      loop.step();
      EXPECT_TRUE(guest_->wait_for_unread_faults(0) && guest_->is_present(page)) << page;
      EXPECT_EQ(serve_until(std::move(touched)), page_word(page));
    }
  }
  EXPECT_EQ(count(Count::copy_errors), 0U);
  EXPECT_EQ(count(Count::pages_poisoned), 0U);
}

// A thread that waits for a page that was replaced is not woken when the rest is unregistered, and
// no thread answers faults after a completion.
TEST_F(PagerTrapsTest, ACompletionWakesWaitersOfReplacedPages) {
  FaultLoop& loop = start();
  std::future<uint64_t> touched = guest_->touch(9);
  ASSERT_TRUE(guest_->wait_for_unread_faults(1));
  std::array<uffd_msg, 4> messages{};
  ASSERT_EQ(uffd_read(guest_->uffd(), messages), 1U);  // as if it arrived after the last batch
  void* const page = reinterpret_cast<void*>(guest_->address(9));
  ASSERT_EQ(
      ::mmap(page, hot::kSmallPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
      page);
  const auto completion = std::make_shared<Completion>(0);
  loop.complete(completion);
  ASSERT_TRUE(wait_for_true([&] {
    loop.step();
    return completion->state() != Completion::State::running;
  }));
  EXPECT_EQ(completion->state(), Completion::State::done) << completion->why();
  EXPECT_EQ(touched.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  uffd_wake(guest_->uffd(), guest_->base(), kPages * hot::kSmallPage);
  EXPECT_EQ(touched.get(), 0U);
}

// The VMM is killed between its fault and the answer: ESRCH. A read of events never returns that.
TEST_F(PagerTrapsTest, AVmmKilledBeforeItsAnswerEndsTheSession) {
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
  const base::Fd ours(pair[0]);
  const base::Fd its(pair[1]);
  ChildProcess vmm([&](const std::function<void()>& ready) {
    const TestGuest guest(kPages);
    base::send_with_fds(its.get(), std::to_string(guest.base()), std::array{guest.uffd()});
    ready();
    static_cast<void>(guest.word(3));
  });
  ASSERT_TRUE(vmm.wait_ready());
  std::array<std::byte, 32> text{};
  std::vector<base::Fd> fds;
  ASSERT_GT(base::recv_with_fds(ours.get(), text, fds).bytes, 0U);
  const uint64_t base = std::stoull(reinterpret_cast<const char*>(text.data()));
  write_memory_file(dir_ / "memory", kPages);
  image_ = Image::open(dir_ / "memory");
  const hot::Region region{.base = base, .size = kPages * hot::kSmallPage, .offset = 0};
  StateMapping mapping(std::vector{region}, image_->identity());
  FaultLoop loop({.uffd = fds.at(0).get(),
                  .state = mapping.state(),
                  .image = *image_,
                  .vmm = vmm_,
                  .counters = counters_,
                  .log = log_,
                  .trace = nullptr},
                 Window::automatic(0));
  std::array<uffd_msg, 4> messages{};
  ASSERT_TRUE(wait_for_true([&] { return uffd_read(fds[0].get(), messages) == 1; }));
  vmm.kill();
  EXPECT_TRUE(loop.step()) << "its userfaultfd has no event";
  loop.handle(std::span(messages).first(1));
  EXPECT_FALSE(loop.step());
  EXPECT_EQ(count(Count::waiting), 0U);
  EXPECT_EQ(count(Count::pages_copied), 0U);
}

}  // namespace
}  // namespace pager
