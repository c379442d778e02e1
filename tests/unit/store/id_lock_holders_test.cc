// SPDX-License-Identifier: Apache-2.0
// The holders of locks on ids: their processes, since when they hold, and what a refusal says of
// them.
#include "store/id_lock_holders.h"

#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <future>

#include "base/error.h"
#include "store/id_lock.h"
#include "store/id_lock_file.h"
#include "tests/unit/child_process.h"
#include "tests/unit/store/id_lock_fixture.h"
#include "tests/unit/store/lock_waiter.h"

namespace {

using base::Deadline;
using std::chrono::milliseconds;
using store::IdLock;
using store::LockMode;

TEST_F(IdLockTest, ALockThatAHelperTookShowsItsTimeAndItsOwner) {
  const auto now_ms = [] {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<milliseconds>(now).count();
  };
  acquire(LockMode::shared).reset();
  const base::Fd file = base::open_file(lock_file(), O_RDWR);
  const auto take_in_helper = [&](pid_t owner) {
    ChildProcess helper([&](const auto& /*ready*/) {
      const store::CallersFile callers{.fd = file.get(), .owner = owner};
      SNAPFORK_CHECK(IdLock::acquire_for(callers, store, "base", LockMode::exclusive,
                                         base::Deadline::never()));
    });
    EXPECT_EQ(helper.wait(), 0);
    return store::lock_holders(store, "base").at(0);
  };
  const int64_t before = now_ms();
  const store::LockHolder mine = take_in_helper(::getpid());
  EXPECT_EQ(mine.pid, ::getpid());
  EXPECT_EQ(mine.orphaned_by, 0);
  EXPECT_EQ(mine.mode, LockMode::exclusive);
  EXPECT_GE(mine.since_ms.value_or(0), before - 32'000);
  EXPECT_LE(mine.since_ms.value_or(0), now_ms());
  EXPECT_EQ(take_in_helper(4'194'303).orphaned_by, 4'194'303) << "the owner has ended";
  EXPECT_FALSE(acquire(LockMode::shared)) << "the lock stays with this process";
}

// Positions as on XFS and as on ext4, on which files have at most 16 TiB.
TEST(IdLockFileTest, APositionHasTheTimeAndTheOwner) {
  const auto held_at = [](const std::string& position) {
    return store::lock_in_fdinfo("pos:\t" + position +
                                 "\nlock:\t1: FLOCK  ADVISORY  WRITE 4711 fe:00:1 0 EOF\n");
  };
  EXPECT_EQ(held_at("1790000000000")->since_ms, 1'790'000'000'000);
  EXPECT_EQ(held_at("1790000000000")->taker, 4711);
  const std::string position = std::to_string(int64_t{1'790'000'000'000 / 16} << 22U | 815);
  EXPECT_EQ(held_at(position)->since_ms, 1'790'000'000'000);
  EXPECT_EQ(held_at(position)->taker, 815);
  const auto on_ext4 = held_at(std::to_string(int64_t{1} << 43U | int64_t{2} << 22U | 815));
  const auto later = held_at(std::to_string(int64_t{1} << 43U | int64_t{4} << 22U | 815));
  EXPECT_NEAR(static_cast<double>(*later->since_ms - *on_ext4->since_ms), 64'000, 1000);
  EXPECT_EQ(on_ext4->taker, 815);
  EXPECT_EQ(held_at("0")->since_ms, std::nullopt);
  EXPECT_EQ(held_at("0")->taker, 4711);
}

TEST_F(IdLockTest, ALockShowsItsTimeAndTheProcessThatOrphanedIt) {
  const auto now_ms = [] {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<milliseconds>(now).count();
  };
  const int64_t before = now_ms();
  const auto lock = acquire(LockMode::shared);
  const auto mine = store::lock_holders(store, "base");
  ASSERT_EQ(mine.size(), 1U);
  EXPECT_GE(mine[0].since_ms.value_or(0), before);
  EXPECT_LE(mine[0].since_ms.value_or(0), now_ms());
  EXPECT_EQ(mine[0].orphaned_by, 0);

  const ChildProcess child([](const auto& ready) {
    ready();
    ::pause();
  });
  ASSERT_TRUE(child.wait_ready());
  EXPECT_EQ(store::lock_holders(store, "base").at(1).orphaned_by, 0) << "we have it, too";
}

TEST(LockInFdinfoTest, ParsesTheLinesOfTheKernel) {
  const auto held = store::lock_in_fdinfo(
      "pos:\t1769000000123\nflags:\t02100000\nmnt_id:\t29\n"
      "lock:\t1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF\n");
  ASSERT_TRUE(held);
  EXPECT_EQ(held->mode, LockMode::exclusive);
  EXPECT_EQ(held->taker, 4711);
  EXPECT_EQ(held->since_ms, 1769000000123);

  const auto foreign =
      store::lock_in_fdinfo("pos:\t0\nlock:\t1: FLOCK  ADVISORY  READ -1 fe:00:1 0 EOF");
  ASSERT_TRUE(foreign);
  EXPECT_EQ(foreign->mode, LockMode::shared);
  EXPECT_EQ(foreign->taker, 0);
  EXPECT_FALSE(foreign->since_ms);

  EXPECT_FALSE(store::lock_in_fdinfo(""));
  EXPECT_FALSE(store::lock_in_fdinfo("pos:\t5\nflags:\t02\nlock:\t1: POSIX ADVISORY WRITE 5"));
  for (const char* odd : {"FLOCK", "pos:FLOCK WRITE", "pos:\t99999999999999999999\nFLOCK READ x"}) {
    EXPECT_TRUE(store::lock_in_fdinfo(odd)) << odd;
  }
}

TEST_F(IdLockTest, ARefusalNamesHoldersAndWaiters) {
  ChildProcess holder([this](const auto& ready) {
    const auto lock = acquire(LockMode::shared);
    ready();
    ::pause();
  });
  ASSERT_TRUE(holder.wait_ready());
  ChildProcess waiter(
      [this](const auto& /*ready*/) { const auto lock = acquire(LockMode::exclusive, kLong); });
  ASSERT_TRUE(wait_for_waiter(lock_file()));
  try {
    store::require_lock(store, "base", LockMode::shared, Deadline::after(milliseconds(0)));
    FAIL();
  } catch (const base::Refused& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("held shared by " + std::to_string(holder.pid()) + " ("), std::string::npos)
        << text;
    EXPECT_NE(text.find("awaited by " + std::to_string(waiter.pid()) + " ("), std::string::npos)
        << text;
  }
}

TEST_F(IdLockTest, AFreeLockHasNoHolders) {
  EXPECT_TRUE(store::lock_holders(store, "base").empty());
  acquire(LockMode::exclusive).reset();
  EXPECT_TRUE(store::lock_holders(store, "base").empty());
  const auto mine = acquire(LockMode::shared);
  const auto again = acquire(LockMode::shared);
  const auto holders = store::lock_holders(store, "base");
  ASSERT_EQ(holders.size(), 1U) << "one record a process";
  EXPECT_EQ(holders[0].pid, ::getpid());
  EXPECT_EQ(holders[0].mode, LockMode::shared);
}

}  // namespace
