// SPDX-License-Identifier: Apache-2.0
// Removing lock files while other processes hold the lock, wait for it, or create it again.
#include "store/id_lock_forget.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <vector>

#include "base/error.h"
#include "base/file_status.h"
#include "store/id_lock.h"
#include "store/id_lock_file.h"
#include "store/id_lock_holders.h"
#include "store/inherited_locks.h"
#include "tests/unit/child_process.h"
#include "tests/unit/scratch_dir.h"
#include "tests/unit/store/lock_waiter.h"

namespace {

using base::Deadline;
using std::chrono::milliseconds;
using store::IdLock;
using store::LockFiles;
using store::LockMode;

constexpr milliseconds kLong{60'000};  // longer than any step takes unless it hangs

class IdLockForgetTest : public testing::Test {
 protected:
  std::optional<IdLock> acquire(LockMode mode, milliseconds limit = milliseconds(0)) const {
    return IdLock::acquire(store, "base", mode, Deadline::after(limit));
  }
  // As template-lock --fd and its caller do: the caller opens or creates the file, or on a full
  // disk opens the directory. Closing the descriptor releases the lock.
  struct CallersLock {
    base::Fd file;
    bool locked = false;
  };
  CallersLock acquire_as_caller(LockMode mode, milliseconds timeout,
                                store::WhenFull when_full = store::WhenFull::fail,
                                int flags = O_CREAT) const {
    const Deadline deadline = Deadline::after(timeout);
    for (;;) {
      base::Fd file(::open(lock.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | flags, 0600));
      if (!file) {
        file = base::open_file(store.locks_dir(), O_RDONLY | O_DIRECTORY);
      }
      try {
        const store::CallersFile callers{.fd = file.get(), .owner = ::getpid()};
        const bool locked =
            IdLock::acquire_for(callers, store, "base", mode, deadline, when_full).has_value();
        return {.file = std::move(file), .locked = locked};
      } catch (const base::TryAgain&) {
        file.reset();
      }
    }
  }
  bool has_lock() const { return std::filesystem::exists(lock); }
  bool has_gate() const { return std::filesystem::exists(gate); }

  const ScratchDir dir;
  const store::Store store{dir.path()};
  const std::string lock = store::lock_path(store, "base");
  const std::string gate = store::gate_path(store, "base");
};

TEST_F(IdLockForgetTest, RemovesBothFilesOfALockThatNobodyHolds) {
  EXPECT_EQ(store::forget_lock(store, "base"), LockFiles::absent);
  acquire(LockMode::exclusive).reset();
  acquire(LockMode::shared).reset();
  EXPECT_EQ(store::examine_lock(store, "base"), LockFiles::idle);
  EXPECT_TRUE(has_lock() && has_gate());
  EXPECT_EQ(store::forget_lock(store, "base"), LockFiles::idle);
  EXPECT_FALSE(has_lock() || has_gate());
  EXPECT_TRUE(acquire(LockMode::exclusive));
}

TEST_F(IdLockForgetTest, KeepsTheFilesOfALockThatIsHeldOrAwaited) {
  for (const LockMode mode : {LockMode::shared, LockMode::exclusive}) {
    const auto held = acquire(mode);
    EXPECT_EQ(store::examine_lock(store, "base"), LockFiles::in_use);
    EXPECT_EQ(store::forget_lock(store, "base"), LockFiles::in_use);
  }
  const base::Fd at_gate = base::open_file(gate, O_RDONLY);
  ASSERT_EQ(::flock(at_gate.get(), LOCK_EX), 0);
  EXPECT_EQ(store::forget_lock(store, "base"), LockFiles::in_use);
  EXPECT_TRUE(has_lock() && has_gate());
}

TEST_F(IdLockForgetTest, RemovesWhatAKilledForgetLeft) {
  acquire(LockMode::exclusive).reset();
  ASSERT_EQ(::unlink(lock.c_str()), 0);  // the first of its two steps
  EXPECT_EQ(store::examine_lock(store, "base"), LockFiles::idle);
  EXPECT_EQ(store::forget_lock(store, "base"), LockFiles::idle);
  EXPECT_FALSE(has_gate());
  acquire(LockMode::exclusive).reset();
  ASSERT_EQ(::unlink(gate.c_str()), 0);
  EXPECT_EQ(store::forget_lock(store, "base"), LockFiles::idle);
  EXPECT_FALSE(has_lock());
}

TEST_F(IdLockForgetTest, DoesNotFollowOrRemoveFilesOfOtherKinds) {
  store.create_layout();
  const std::string outside = dir / "outside";
  base::open_file(outside, O_RDONLY | O_CREAT, 0600);
  for (const std::string& path : {lock, gate}) {
    const auto is_kept = [&] {
      const bool kept =
          store::forget_lock(store, "base") == LockFiles::foreign &&
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

// The gate keeps the order of the waiters: a waiter whose gate was removed must wait at the new
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

// Shared by the processes of the race.
struct Race {
  std::atomic<int> writers{0};
  std::atomic<int> readers{0};
  std::atomic<int> broken{0};   // number of exclusion failures
  std::atomic<int> refused{0};  // number of unexpected refusals
  std::atomic<int> removed{0};
  std::atomic<int> at_work{0};
};

Race& shared_race() {
  void* const memory =
      ::mmap(nullptr, sizeof(Race), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  SNAPFORK_CHECK(memory != MAP_FAILED);
  return *new (memory) Race;
}

void enter_as_writer(Race& race) {
  if (race.writers.fetch_add(1) != 0 || race.readers.load() != 0) {
    ++race.broken;
  }
  ::sched_yield();  // lets other processes run
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
        const milliseconds timeout = round % 2 == 0 ? kLong : milliseconds(0);
        std::optional<IdLock> own;
        CallersLock callers;
        if (round % 4 < 2) {
          own = acquire(mode, timeout);
        } else {
          callers = acquire_as_caller(mode, timeout);
        }
        if (own || callers.locked) {
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
        race.removed += store::forget_lock(store, "base") == LockFiles::idle ? 1 : 0;
      }
    }));
  }
  for (const auto& worker : workers) {
    EXPECT_EQ(worker->wait(), 0);
  }
  EXPECT_EQ(race.broken.load(), 0);
  EXPECT_EQ(race.refused.load(), 0);
  EXPECT_GT(race.removed.load(), kRounds / 100) << "too few for a race";
  EXPECT_NE(store::forget_lock(store, "base"), LockFiles::in_use);
  ::munmap(&race, sizeof(Race));
}

class FullDiskLockTest : public IdLockForgetTest {
 protected:
  void SetUp() override {
    ChildProcess child([this](const auto& /*ready*/) { ::_exit(mount_small() ? 0 : 1); });
    if (child.wait() != 0) {
      GTEST_SKIP() << "cannot make a private mount: it needs root, and / must be a mount point";
    }
  }

  // A filesystem of 16 inodes over the store, in this process alone. False where that is not
  // permitted.
  bool mount_small() const {
    return ::unshare(CLONE_NEWNS) == 0 &&
           ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("none", store.root().c_str(), "tmpfs", 0, "nr_inodes=16,mode=700") == 0;
  }
  // Creates files until no inode is free.
  void fill() const {
    for (int i = 0; ::mknod(filler(i).c_str(), S_IFREG | 0600, 0) == 0 || errno == EEXIST; ++i) {
    }
  }
  std::string filler(int i) const { return store.root() + "/fill" + std::to_string(i); }
  std::optional<IdLock> acquire_full(milliseconds limit) const {
    return IdLock::acquire(store, "base", LockMode::exclusive, Deadline::after(limit),
                           store::WhenFull::lock_directory);
  }
  static bool is_directory(int fd) {
    struct stat st {};
    return ::fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
  }
};

TEST_F(FullDiskLockTest, OnAFullDiskTheDirectoryIsLocked) {
  ChildProcess child([this](const auto& /*ready*/) {
    SNAPFORK_CHECK(mount_small());
    acquire(LockMode::exclusive).reset();
    fill();
    const auto other = [&](LockMode mode) {
      return IdLock::acquire(store, "other", mode, Deadline::after(milliseconds(0)));
    };
    EXPECT_THROW(other(LockMode::exclusive), std::system_error);
    const auto held =
        IdLock::acquire(store, "new", LockMode::exclusive, Deadline::after(milliseconds(0)),
                        store::WhenFull::lock_directory);
    SNAPFORK_CHECK(held && is_directory(held->fd()));
    // No other process can lock this id, or another id without a lock file, even if files fit.
    ::unlink(filler(0).c_str());
    ::unlink(filler(1).c_str());
    EXPECT_FALSE(other(LockMode::exclusive));
    EXPECT_FALSE(other(LockMode::shared));
    EXPECT_FALSE(store::wait_until_free(store, "new", Deadline::after(milliseconds(0))));
    EXPECT_EQ(store::lock_holders(store, "new").size(), 1U);
    // The refused processes made its file, which they could not check.
    EXPECT_FALSE(store::is_checked(base::stat_path(store::lock_path(store, "other"))));
    EXPECT_EQ(store::lock_holders(store, "other").size(), 1U);
    EXPECT_TRUE(acquire(LockMode::exclusive)) << "one that has its file is not concerned";
    // A process that inherits it holds both, and waits for no other lock.
    ::setenv("SNAPFORK_LOCK_FD", std::to_string(held->fd()).c_str(), 1);
    EXPECT_EQ(store::inherited_lock(store, "new"), LockMode::exclusive);
    EXPECT_EQ(store::inherited_lock(store, "other"), LockMode::exclusive);
    EXPECT_FALSE(store::inherited_lock(store, "base"));
    EXPECT_GT(store::last_inherited_id(store), "zzz");
    ::flock(held->fd(), LOCK_UN);
    EXPECT_TRUE(other(LockMode::shared));
    EXPECT_TRUE(store::is_checked(base::stat_path(store::lock_path(store, "other"))));
    if (testing::Test::HasFailure()) {
      throw std::runtime_error("see above");
    }
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(FullDiskLockTest, ThousandsOfRoundsOnADiskThatIsSometimesFullKeepTheLockExclusive) {
  constexpr int kRounds = 1500;
  Race& race = shared_race();
  std::atomic<int>& by_directory = race.readers;  // there are none
  ChildProcess all([&](const auto& /*ready*/) {
    SNAPFORK_CHECK(mount_small());
    store.create_layout();
    std::vector<std::unique_ptr<ChildProcess>> workers;
    race.at_work = 3;
    workers.reserve(3);
    for (int i = 0; i < 3; ++i) {
      workers.push_back(std::make_unique<ChildProcess>([&](const auto& /*ready*/) {
        // Runs until enough of both occurred, because the disk is full at random times.
        const auto is_race = [&] { return race.removed > 10 && by_directory > 10; };
        for (int round = 0; round < kRounds || (!is_race() && round < 40 * kRounds); ++round) {
          const milliseconds timeout = round % 2 == 0 ? kLong : milliseconds(0);
          std::optional<IdLock> own;
          CallersLock callers;
          if (round % 4 < 2) {
            own = acquire_full(timeout);
          } else {
            callers =
                acquire_as_caller(LockMode::exclusive, timeout, store::WhenFull::lock_directory,
                                  round % 32 < 4 ? O_CREAT : 0);
          }
          if (own || callers.locked) {
            race.broken += race.writers.fetch_add(1) != 0 ? 1 : 0;
            ::sched_yield();
            --race.writers;
            by_directory += is_directory(own ? own->fd() : callers.file.get()) ? 1 : 0;
          } else if (round % 2 == 0) {
            ++race.refused;
          }
        }
        --race.at_work;
      }));
    }
    for (const bool fills : {true, false}) {
      workers.push_back(std::make_unique<ChildProcess>([&, fills](const auto& /*ready*/) {
        for (int round = 0; race.at_work.load() > 0; ++round) {
          if (fills) {
            fill();
            ::sched_yield();
            ::unlink(filler(round % 4).c_str());
          } else {
            race.removed += store::forget_lock(store, "base") == LockFiles::idle ? 1 : 0;
          }
        }
      }));
    }
    for (const auto& worker : workers) {
      SNAPFORK_CHECK(worker->wait() == 0);
    }
  });
  EXPECT_EQ(all.wait(), 0);
  EXPECT_EQ(race.broken.load(), 0);
  EXPECT_EQ(race.refused.load(), 0);
  EXPECT_GT(race.removed.load(), 10) << "too few for a race";
  EXPECT_GT(by_directory.load(), 10) << "the disk was rarely full";
  ::munmap(&race, sizeof(Race));
}

// A removal holds both locks for a moment. A caller that does not wait must not see a holder then.
TEST_F(IdLockForgetTest, ACallerThatDoesNotWaitIsNotRefusedBecauseFilesAreRemoved) {
  constexpr int kRounds = 2000;
  acquire(LockMode::exclusive).reset();
  ChildProcess remover([this](const auto& ready) {
    ready();
    for (;;) {
      store::forget_lock(store, "base");
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
