// Removing lock files under those who hold the lock, wait for it, and make it anew.
// SPDX-License-Identifier: Apache-2.0
#include "base/id_lock_forget.h"

#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/id_lock.h"
#include "base/id_lock_file.h"
#include "tests/unit/child_process.h"
#include "tests/unit/lock_waiter.h"
#include "tests/unit/scratch_dir.h"

namespace {

using base::Deadline;
using base::IdLock;
using base::LockFiles;
using base::LockMode;
using std::chrono::milliseconds;

constexpr milliseconds kLong{60'000};  // longer than anything here takes, unless it hangs

class IdLockForgetTest : public testing::Test {
 protected:
  std::optional<IdLock> acquire(LockMode mode, milliseconds patience = milliseconds(0)) const {
    return IdLock::acquire(store, "base", mode, Deadline::after(patience));
  }
  bool has_lock() const { return std::filesystem::exists(lock); }
  bool has_gate() const { return std::filesystem::exists(gate); }

  const ScratchDir dir;
  const base::Store store{dir.path()};
  const std::string lock = base::lock_path(store, "base");
  const std::string gate = base::gate_path(store, "base");
};

TEST_F(IdLockForgetTest, RemovesBothFilesOfALockThatNobodyHolds) {
  EXPECT_EQ(base::forget_lock(store, "base"), LockFiles::absent);
  acquire(LockMode::exclusive).reset();
  acquire(LockMode::shared).reset();
  EXPECT_EQ(base::examine_lock(store, "base"), LockFiles::idle);
  EXPECT_TRUE(has_lock() && has_gate());
  EXPECT_EQ(base::forget_lock(store, "base"), LockFiles::idle);
  EXPECT_FALSE(has_lock() || has_gate());
  EXPECT_TRUE(acquire(LockMode::exclusive));
}

TEST_F(IdLockForgetTest, KeepsTheFilesOfALockThatIsHeldOrAwaited) {
  for (const LockMode mode : {LockMode::shared, LockMode::exclusive}) {
    const auto held = acquire(mode);
    EXPECT_EQ(base::examine_lock(store, "base"), LockFiles::in_use);
    EXPECT_EQ(base::forget_lock(store, "base"), LockFiles::in_use);
  }
  const base::Fd at_gate = base::open_file(gate, O_RDONLY);
  ASSERT_EQ(::flock(at_gate.get(), LOCK_EX), 0);
  EXPECT_EQ(base::forget_lock(store, "base"), LockFiles::in_use);
  EXPECT_TRUE(has_lock() && has_gate());
}

TEST_F(IdLockForgetTest, RemovesWhatAKilledForgetLeft) {
  acquire(LockMode::exclusive).reset();
  ASSERT_EQ(::unlink(lock.c_str()), 0);  // the first of its two steps
  EXPECT_EQ(base::examine_lock(store, "base"), LockFiles::idle);
  EXPECT_EQ(base::forget_lock(store, "base"), LockFiles::idle);
  EXPECT_FALSE(has_gate());
  acquire(LockMode::exclusive).reset();
  ASSERT_EQ(::unlink(gate.c_str()), 0);
  EXPECT_EQ(base::forget_lock(store, "base"), LockFiles::idle);
  EXPECT_FALSE(has_lock());
}

TEST_F(IdLockForgetTest, NeitherFollowsNorRemovesWhatIsNotALockFile) {
  store.create_layout();
  const std::string outside = dir / "outside";
  base::open_file(outside, O_RDONLY | O_CREAT, 0600);
  for (const std::string& path : {lock, gate}) {
    const auto is_kept = [&] {
      const bool kept =
          base::forget_lock(store, "base") == LockFiles::foreign &&
          std::filesystem::symlink_status(path).type() != std::filesystem::file_type::not_found;
      std::filesystem::remove(path);
      return kept;
    };
    ASSERT_EQ(::symlink(outside.c_str(), path.c_str()), 0);
    EXPECT_TRUE(is_kept()) << "a symbolic link";
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    EXPECT_TRUE(is_kept()) << "a fifo";
    ASSERT_EQ(::mkdir(path.c_str(), 0700), 0);
    EXPECT_TRUE(is_kept()) << "a directory";
    std::filesystem::create_hard_link(outside, path);
    EXPECT_TRUE(is_kept()) << "another name of a file";
    const base::Fd file = base::open_file(path, O_WRONLY | O_CREAT, 0600);
    base::write_full(file.get(), "text", path);
    EXPECT_TRUE(is_kept()) << "a file with contents";
  }
  EXPECT_TRUE(std::filesystem::exists(outside));
}

// The gate keeps the order of those who wait: a waiter whose gate was removed must stand at the new
// one.
TEST_F(IdLockForgetTest, AWaiterAtARemovedGateGoesToTheNewOne) {
  acquire(LockMode::exclusive).reset();
  const base::Fd old_gate = base::open_file(gate, O_RDONLY);
  ASSERT_EQ(::flock(old_gate.get(), LOCK_EX), 0);
  ChildProcess waiter([this](const auto& ready) {
    const auto mine = acquire(LockMode::exclusive, kLong);
    ready();
  });
  ASSERT_TRUE(wait_for_waiter(gate));
  ASSERT_EQ(::unlink(gate.c_str()), 0);
  base::Fd new_gate = base::open_file(gate, O_RDONLY | O_CREAT, 0600);
  ASSERT_EQ(::flock(new_gate.get(), LOCK_EX), 0);
  ::flock(old_gate.get(), LOCK_UN);  // the child has a copy of the descriptor
  EXPECT_TRUE(wait_for_waiter(gate)) << "it went past the new gate";
  new_gate.reset();
  EXPECT_TRUE(waiter.wait_ready());
}

// What the processes of the race share.
struct Race {
  std::atomic<int> writers{0};
  std::atomic<int> readers{0};
  std::atomic<int> broken{0};   // times that two were inside that must not be
  std::atomic<int> refused{0};  // times that the lock could not be had
  std::atomic<int> removed{0};
  std::atomic<int> at_work{0};
};

void enter_as_writer(Race& race) {
  if (race.writers.fetch_add(1) != 0 || race.readers.load() != 0) {
    ++race.broken;
  }
  ::sched_yield();  // lets others in, if they can
  if (race.writers.load() != 1 || race.readers.load() != 0) {
    ++race.broken;
  }
  --race.writers;
}

void enter_as_reader(Race& race) {
  ++race.readers;
  ::sched_yield();
  if (race.writers.load() != 0) {
    ++race.broken;
  }
  --race.readers;
}

TEST_F(IdLockForgetTest, ThousandsOfRoundsOfWaitersAndRemoversKeepTheLockExclusive) {
  constexpr int kRounds = 1500;
  void* const memory =
      ::mmap(nullptr, sizeof(Race), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  Race& race = *new (memory) Race;
  store.create_layout();
  std::vector<std::unique_ptr<ChildProcess>> workers;
  for (const LockMode mode : {LockMode::exclusive, LockMode::exclusive, LockMode::shared}) {
    ++race.at_work;
    workers.push_back(std::make_unique<ChildProcess>([&, mode](const auto& /*ready*/) {
      for (int round = 0; round < kRounds; ++round) {
        // Every second one does not wait: it too must not be refused because files are removed, but
        // it is when another holds the lock.
        const auto mine = acquire(mode, round % 2 == 0 ? kLong : milliseconds(0));
        if (mine) {
          mode == LockMode::shared ? enter_as_reader(race) : enter_as_writer(race);
        } else if (round % 2 == 0) {
          ++race.refused;
        }
      }
      --race.at_work;
    }));
  }
  for (int i = 0; i < 2; ++i) {
    workers.push_back(std::make_unique<ChildProcess>([&](const auto& /*ready*/) {
      while (race.at_work.load() > 0) {
        race.removed += base::forget_lock(store, "base") == LockFiles::idle ? 1 : 0;
      }
    }));
  }
  for (const auto& worker : workers) {
    EXPECT_EQ(worker->wait(), 0);
  }
  EXPECT_EQ(race.broken.load(), 0);
  EXPECT_EQ(race.refused.load(), 0);
  EXPECT_GT(race.removed.load(), kRounds / 100) << "too few for a race";
  EXPECT_NE(base::forget_lock(store, "base"), LockFiles::in_use);
  ::munmap(memory, sizeof(Race));
}

// A removal holds both locks for a moment, which nobody who does not wait may take for a holder.
TEST_F(IdLockForgetTest, ACallerThatDoesNotWaitIsNotRefusedBecauseFilesAreRemoved) {
  constexpr int kRounds = 2000;
  acquire(LockMode::exclusive).reset();
  ChildProcess remover([this](const auto& ready) {
    ready();
    for (;;) {
      base::forget_lock(store, "base");
    }
  });
  ASSERT_TRUE(remover.wait_ready());
  int refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    refused += acquire(LockMode::exclusive) ? 0 : 1;
  }
  EXPECT_EQ(refused, 0);
}

}  // namespace
