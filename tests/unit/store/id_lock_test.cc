// SPDX-License-Identifier: Apache-2.0
// Locks on ids: order, inheritance, and no starvation.
#include "store/id_lock.h"

#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <future>

#include "base/error.h"
#include "store/id_lock_file.h"
#include "store/id_lock_holders.h"
#include "store/inherited_locks.h"
#include "tests/unit/child_process.h"
#include "tests/unit/store/id_lock_fixture.h"
#include "tests/unit/store/lock_waiter.h"

namespace {

using base::Deadline;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using store::IdLock;
using store::LockMode;

TEST_F(IdLockTest, ASecondExclusiveLockIsRefused) {
  const auto first = acquire(LockMode::exclusive);
  ASSERT_TRUE(first);
  EXPECT_FALSE(acquire(LockMode::exclusive));
  EXPECT_FALSE(acquire(LockMode::shared));
}

TEST_F(IdLockTest, SharedLocksCoexistAndExcludeTheExclusiveLock) {
  const auto first = acquire(LockMode::shared);
  const auto second = acquire(LockMode::shared);
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(acquire(LockMode::exclusive));
  // The refused request has released the gate.
  EXPECT_TRUE(acquire(LockMode::shared));
}

TEST_F(IdLockTest, ALockEndsWithItsOwnerAndIdsAreIndependent) {
  {
    const auto first = acquire(LockMode::exclusive);
    EXPECT_TRUE(acquire(LockMode::exclusive, milliseconds(0), "other"));
  }
  EXPECT_TRUE(acquire(LockMode::exclusive));
  EXPECT_EQ(::access(lock_file().c_str(), F_OK), 0) << "only forget_lock unlinks it";
}

TEST_F(IdLockTest, TheDeadlineEndsTheWaitForMainLockAndGate) {
  const auto holder = acquire(LockMode::shared);
  const auto start = steady_clock::now();
  EXPECT_FALSE(acquire(LockMode::exclusive, milliseconds(30)));
  EXPECT_GE(steady_clock::now() - start, milliseconds(30));

  const base::Fd gate = base::open_file(store.locks_dir() + "/base.gate", O_RDONLY);
  ASSERT_EQ(::flock(gate.get(), LOCK_EX), 0);
  EXPECT_FALSE(acquire(LockMode::shared, milliseconds(30)));
  EXPECT_FALSE(acquire(LockMode::shared));
  EXPECT_LT(steady_clock::now() - start, kLong);
}

TEST_F(IdLockTest, TheDeadlineHoldsWithSigalrmBlockedAndLeavesSignalsAsTheyWere) {
  const auto holder = acquire(LockMode::exclusive);
  sigset_t alarm;
  ::sigemptyset(&alarm);
  ::sigaddset(&alarm, SIGALRM);
  sigset_t old_mask;
  ::pthread_sigmask(SIG_BLOCK, &alarm, &old_mask);
  EXPECT_FALSE(acquire(LockMode::exclusive, milliseconds(30)));
  sigset_t mask;
  ::pthread_sigmask(SIG_SETMASK, &old_mask, &mask);
  EXPECT_EQ(::sigismember(&mask, SIGALRM), 1);
  struct sigaction action {};
  ::sigaction(SIGALRM, nullptr, &action);
  EXPECT_EQ(action.sa_handler, SIG_DFL);
}

TEST_F(IdLockTest, AWaitingRequestIsServedWhenTheHolderEnds) {
  ChildProcess holder([this](const auto& ready) {
    const auto lock = acquire(LockMode::exclusive);
    ready();
    ::pause();
  });
  ASSERT_TRUE(holder.wait_ready());
  auto waiter = std::async(std::launch::async, [this] {
    const IdLock lock = acquire_blocking(LockMode::exclusive);
    return true;
  });
  ASSERT_TRUE(wait_for_waiter(lock_file()));
  holder.kill();  // kill -9 releases
  EXPECT_TRUE(waiter.get());
}

// Without the gate, each of the shared requests below would get the lock and the exclusive one
// never.
TEST_F(IdLockTest, AWaitingExclusiveIsServedBeforeSharedOnesThatComeLater) {
  auto first = acquire(LockMode::shared);
  ASSERT_TRUE(first);
  std::atomic<bool> exclusive_done = false;
  auto writer = std::async(std::launch::async, [&] {
    const IdLock lock = acquire_blocking(LockMode::exclusive);
    exclusive_done = true;
  });
  ASSERT_TRUE(wait_for_waiter(lock_file()));
  EXPECT_FALSE(acquire(LockMode::shared)) << "a new shared holder overtook the waiting exclusive";
  auto reader = std::async(std::launch::async, [&] {
    const IdLock lock = acquire_blocking(LockMode::shared);
    return exclusive_done.load();
  });
  ASSERT_TRUE(wait_for_waiter(store.locks_dir() + "/base.gate"));
  first.reset();
  EXPECT_TRUE(reader.get());
  writer.get();
}

TEST_F(IdLockTest, AWaiterNoticesThatTheLockFileWasReplaced) {
  auto first = acquire(LockMode::exclusive);
  auto waiter =
      std::async(std::launch::async, [this] { return acquire_blocking(LockMode::exclusive); });
  ASSERT_TRUE(wait_for_waiter(lock_file()));
  ASSERT_EQ(::unlink(lock_file().c_str()), 0);
  base::Fd replacement = base::open_file(lock_file(), O_RDONLY | O_CREAT, 0600);
  first.reset();
  const IdLock second = waiter.get();
  // If it had kept the old inode, both would hold the lock now.
  EXPECT_FALSE(acquire(LockMode::exclusive));
}

TEST_F(IdLockTest, ChildrenKeepTheLockOfAKilledParent) {
  ChildProcess parent([this](const auto& ready) {
    const auto lock = acquire(LockMode::exclusive);
    const ChildProcess child([&](const auto& /*unused*/) {
      ready();
      ::pause();
    });
    ::pause();
  });
  ASSERT_TRUE(parent.wait_ready());
  const pid_t parent_pid = parent.pid();
  parent.kill();
  EXPECT_FALSE(acquire(LockMode::shared));
  const auto holders = store::lock_holders(store, "base");
  ASSERT_EQ(holders.size(), 1U);
  EXPECT_NE(holders[0].pid, parent_pid);
  EXPECT_EQ(holders[0].mode, LockMode::exclusive);
  ::kill(holders[0].pid, SIGKILL);
  EXPECT_TRUE(acquire(LockMode::shared, kLong));
}

TEST_F(IdLockTest, AnExecutedProgramDoesNotInheritTheLockByDefault) {
  const ChildProcess holder([this](const auto& ready) {
    const auto lock = acquire(LockMode::exclusive);
    ready();
    ::execlp("tail", "tail", "-f", "/dev/null", nullptr);
  });
  ASSERT_TRUE(holder.wait_ready());
  EXPECT_TRUE(acquire(LockMode::exclusive, kLong));
  EXPECT_EQ(::kill(holder.pid(), 0), 0);
}

TEST_F(IdLockTest, AnInheritedLockIsFoundWithItsMode) {
  EXPECT_FALSE(store::inherited_lock(store, "base"));
  for (const LockMode mode : {LockMode::shared, LockMode::exclusive}) {
    const auto lock = acquire(mode);
    EXPECT_FALSE(store::inherited_lock(store, "base")) << "without the variable";
    for (const std::string prefix : {"", "0,", "x,,99999,"}) {
      list_fds(prefix + std::to_string(lock->fd()));
      EXPECT_EQ(store::inherited_lock(store, "base"), mode);
    }
    ::unsetenv("SNAPFORK_LOCK_FD");
  }
}

TEST_F(IdLockTest, ADescriptorThatIsNotALockOnTheIdIsIgnored) {
  const auto other = acquire(LockMode::exclusive, milliseconds(0), "other");
  acquire(LockMode::exclusive).reset();
  const base::Fd unlocked = base::open_file(lock_file(), O_RDONLY);
  for (const std::string& list :
       {std::string(), std::string(","), std::string("-1"), std::string("99999999999999999999"),
        std::string("1 2"), std::string("0x3"), std::to_string(other->fd()),
        std::to_string(unlocked.get()), std::to_string(unlocked.get()) + "x"}) {
    list_fds(list);
    EXPECT_FALSE(store::inherited_lock(store, "base")) << list;
  }
}

TEST_F(IdLockTest, ALockOnAFileThatWasReplacedCoversNothing) {
  const auto lock = acquire(LockMode::exclusive);
  list_fds(std::to_string(lock->fd()));
  ASSERT_TRUE(store::inherited_lock(store, "base"));
  ASSERT_EQ(::unlink(lock_file().c_str()), 0);
  EXPECT_FALSE(store::inherited_lock(store, "base"));
  EXPECT_TRUE(store::require_lock(store, "base", LockMode::exclusive, Deadline::never()));
  EXPECT_FALSE(store::inherited_lock(store, "base"));
}

TEST_F(IdLockTest, RequireLockUsesAnInheritedLockOrTakesOne) {
  const Deadline now = Deadline::after(milliseconds(0));
  EXPECT_TRUE(store::require_lock(store, "base", LockMode::exclusive, now));
  {
    const auto lock = acquire(LockMode::exclusive);
    list_fds(std::to_string(lock->fd()));
    EXPECT_FALSE(store::require_lock(store, "base", LockMode::exclusive, now));
    EXPECT_FALSE(store::require_lock(store, "base", LockMode::shared, now));
  }
  const auto lock = acquire(LockMode::shared);
  list_fds(std::to_string(lock->fd()));
  EXPECT_FALSE(store::require_lock(store, "base", LockMode::shared, now));
  // This process would wait for itself.
  EXPECT_THROW(store::require_lock(store, "base", LockMode::exclusive, Deadline::never()),
               base::Refused);
}

// Waiting for an id while holding a lock on a later id could form a cycle.
TEST_F(IdLockTest, RequireLockDoesNotWaitForAnIdBeforeAnInheritedOne) {
  const ChildProcess holder([this](const auto& ready) {
    const auto before = acquire(LockMode::exclusive, milliseconds(0), "a");
    const auto after = acquire(LockMode::exclusive, milliseconds(0), "c");
    ready();
    ::pause();
  });
  ASSERT_TRUE(holder.wait_ready());
  const auto inherited = acquire(LockMode::exclusive, milliseconds(0), "b");
  list_fds(std::to_string(inherited->fd()));
  EXPECT_EQ(store::last_inherited_id(store), "b");
  const auto start = steady_clock::now();
  EXPECT_THROW(store::require_lock(store, "a", LockMode::exclusive, Deadline::never()),
               base::Refused);
  EXPECT_THROW(
      store::require_lock(store, "c", LockMode::exclusive, Deadline::after(milliseconds(30))),
      base::Refused);
  EXPECT_GE(steady_clock::now() - start, milliseconds(30));
  EXPECT_TRUE(store::require_lock(store, "0", LockMode::exclusive, Deadline::never()));
}

TEST_F(IdLockTest, WaitingForAFreeLockDoesNotBlockNewHolders) {
  EXPECT_TRUE(store::wait_until_free(store, "base", Deadline::never()));
  EXPECT_NE(::access(lock_file().c_str(), F_OK), 0) << "an observer creates no files";
  ChildProcess holder([this](const auto& ready) {
    const auto lock = acquire(LockMode::shared);
    ready();
    ::pause();
  });
  ASSERT_TRUE(holder.wait_ready());
  EXPECT_FALSE(store::wait_until_free(store, "base", Deadline::after(milliseconds(30))));
  auto waiter = std::async(std::launch::async, [this] {
    return store::wait_until_free(store, "base", Deadline::never());
  });
  ASSERT_TRUE(wait_for_waiter(lock_file()));
  EXPECT_TRUE(acquire(LockMode::shared));
  holder.kill();
  EXPECT_TRUE(waiter.get());
  EXPECT_TRUE(acquire(LockMode::exclusive));
}

TEST_F(IdLockTest, AnotherKindOfFileUnderTheNameIsRefusedWithoutBlocking) {
  store.create_layout();
  ASSERT_EQ(::symlink("/etc/passwd", lock_file("link").c_str()), 0);
  EXPECT_THROW(acquire(LockMode::shared, milliseconds(0), "link"), base::BadData);
  ASSERT_EQ(::mkfifo(lock_file("fifo").c_str(), 0600), 0);
  EXPECT_TRUE(acquire(LockMode::exclusive, milliseconds(0), "fifo"));
  EXPECT_THROW(acquire(LockMode::shared, milliseconds(0), "../x"), base::UsageError);
  EXPECT_THROW(
      IdLock::acquire(store::Store(dir / "absent"), "x", LockMode::shared, Deadline::never()),
      std::system_error);
}

}  // namespace
