// SPDX-License-Identifier: Apache-2.0
// Tests which sessions and servers count as hanging.
#include "pager/keep/hang_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <future>
#include <optional>
#include <vector>

#include "pager/faults/session_state.h"
#include "pager/kernel/clock.h"
#include "tests/unit/pager/test_guest.h"

namespace pager {
namespace {

// A guest whose thread waits for a page that nobody installs before the end.
class WaitingSession {
 public:
  WaitingSession() : guest_(1), state_(regions(), {.size = hot::kSmallPage}, "", memfd()) {
    touched_ = guest_.touch(0);
    EXPECT_TRUE(guest_.wait_for_unread_faults(1));
  }
  ~WaitingSession() {
    const std::vector<std::byte> page(hot::kSmallPage);
    uffd_copy(guest_.uffd(), guest_.base(), page.data(), page.size(), Wake::yes);
    touched_.wait();
  }
  WaitingSession(const WaitingSession&) = delete;
  WaitingSession(WaitingSession&&) = delete;
  WaitingSession& operator=(const WaitingSession&) = delete;
  WaitingSession& operator=(WaitingSession&&) = delete;

  SessionState& state() { return state_.state(); }
  HeldThing held() const {
    HeldThing thing{.kind = Kept::session, .parent = 0, .fds = {}};
    for (const int fd : {state_.file(), STDIN_FILENO, guest_.uffd()}) {
      thing.fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    }
    return thing;
  }

 private:
  static base::Fd memfd() { return base::Fd(::memfd_create("test", MFD_CLOEXEC)); }
  std::vector<hot::Region> regions() const { return {guest_.region()}; }

  TestGuest guest_;
  StateMapping state_;
  std::future<uint64_t> touched_;
};

class HangWatchTest : public UserfaultfdTest {
 protected:
  // The key that is reported first.
  std::optional<uint64_t> reported(const HeldThings& held) {
    std::optional<HangWatch::Hang> hang;
    watch_.start(held);
    return wait_for_true([&] { return (hang = watch_.check(held, page_)).has_value(); })
               ? std::optional(hang->key)
               : std::nullopt;
  }

  KeeperPage& page_ = map_keeper_page(-1);
  HangWatch watch_{std::chrono::milliseconds(20)};
};

// Each session that must not be reported comes before one that must be.
TEST_F(HangWatchTest, ASessionThatWaitsForItsImageDoesNotHang) {
  WaitingSession reads;
  reads.state().reading = 1;
  const WaitingSession hangs;
  HeldThings held;
  held.emplace(2, reads.held());
  held.emplace(3, hangs.held());
  EXPECT_EQ(reported(held), 3U);
}

TEST_F(HangWatchTest, ASessionWhoseLoopMakesRoundsDoesNotHang) {
  WaitingSession works;
  const WaitingSession hangs;
  HeldThings held;
  held.emplace(2, works.held());
  held.emplace(3, hangs.held());
  std::optional<HangWatch::Hang> hang;
  watch_.start(held);
  ASSERT_TRUE(wait_for_true([&] {
    ++works.state().heartbeat;
    return (hang = watch_.check(held, page_)).has_value();
  }));
  EXPECT_EQ(hang->key, 3U);
}

TEST_F(HangWatchTest, AMainThreadThatHandlesOneEventForTooLongHangs) {
  const WaitingSession session;
  HeldThings held;
  held.emplace(2, session.held());
  page_.main_busy_ns = 1;
  watch_.start(held);
  const std::optional<HangWatch::Hang> hang = watch_.check(held, page_);
  ASSERT_TRUE(hang);
  EXPECT_EQ(hang->key, 0U);
}

}  // namespace
}  // namespace pager
