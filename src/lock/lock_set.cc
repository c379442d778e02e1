// SPDX-License-Identifier: Apache-2.0
// Takes several locks without deadlock and passes them to a command.
#include "lock/lock_set.h"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>

#include "base/descriptor_limit.h"
#include "base/error.h"
#include "store/id_lock_holders.h"
#include "store/inherited_locks.h"

namespace lock {
namespace {

// POSIX shells give descriptors 0 to 9 to scripts and keep their own from 10 on.
constexpr int kFirstFd = 64;
// The number of descriptors that the command may open beside the inherited locks.
constexpr rlim_t kHeadroom = 256;

// Raises the soft limit by `count` descriptors. The command keeps the raised limit, because it
// needs it.
void make_room(size_t count) {
  base::raise_descriptor_limit(kFirstFd + static_cast<rlim_t>(count) + kHeadroom);
}

std::string refusal(const store::Store& store, const std::string& id) {
  return "cannot lock " + base::quoted(id) + ": " + store::describe_conflict(store, id);
}

// `held` is the last id whose lock is inherited. A process that holds an id that sorts before it
// may wait for it.
store::IdLock take(const store::Store& store, const WantedLock& wanted, const std::string& held,
                   const base::Deadline& deadline, store::WhenFull when_full) {
  const bool sorts_before = wanted.waits && wanted.id < held;
  const base::Deadline until = wanted.waits && !sorts_before
                                   ? deadline
                                   : base::Deadline::after(std::chrono::milliseconds(0));
  std::optional<store::IdLock> lock =
      store::acquire_and_report(store, wanted.id, wanted.mode, until, when_full, wanted.file);
  if (!lock) {
    throw base::Refused(refusal(store, wanted.id) + "; " +
                        (sorts_before ? store::why_not_waited_for(held) : "wait for it to end"));
  }
  return std::move(*lock);
}

// Sorts the list and removes duplicates.
void put_in_order(std::vector<WantedLock>& wanted) {
  std::ranges::sort(wanted, {}, &WantedLock::id);
  std::vector<WantedLock> once;
  for (WantedLock& lock : wanted) {
    if (once.empty() || once.back().id != lock.id) {
      once.push_back(std::move(lock));
    } else if (lock.file) {
      throw base::UsageError(base::quoted(lock.id) + " has two descriptors");
    } else if (once.back().mode != lock.mode) {
      throw base::UsageError(base::quoted(lock.id) + " is requested both shared and exclusive");
    } else {
      once.back().waits = once.back().waits && lock.waits;
    }
  }
  std::stable_partition(once.begin(), once.end(),
                        [](const WantedLock& lock) { return lock.waits; });
  wanted = std::move(once);
}

bool is_covered(const store::Store& store, const WantedLock& wanted) {
  const std::optional<store::LockMode> inherited = store::inherited_lock(store, wanted.id);
  if (inherited == store::LockMode::shared && wanted.mode == store::LockMode::exclusive) {
    throw base::Refused("cannot lock " + base::quoted(wanted.id) +
                        " exclusively: the inherited lock is shared; take the exclusive one from "
                        "the start");
  }
  return inherited.has_value();
}

// Checks all files of the caller before it waits for any lock.
void require_lock_files(const store::Store& store, const std::vector<WantedLock>& wanted,
                        store::WhenFull when_full) {
  const WantedLock* other = nullptr;
  for (const WantedLock& lock : wanted) {
    if (lock.file && !store::IdLock::is_lock_file(*lock.file, store, lock.id, when_full)) {
      other = &lock;
    }
  }
  if (other != nullptr) {
    throw base::TryAgain("cannot lock " + base::quoted(other->id) + ": descriptor " +
                         std::to_string(other->file->fd) +
                         " is not open on its lock file; open it again");
  }
}

base::Fd move_up(base::Fd fd) {
  base::Fd high(::fcntl(fd.get(), F_DUPFD_CLOEXEC, kFirstFd));
  if (!high) {
    base::throw_errno("cannot duplicate a lock's descriptor (see 'ulimit -Hn')");
  }
  return high;
}

}  // namespace

void require_free(const store::Store& store, std::vector<WantedLock> wanted) {
  for (const WantedLock& lock : wanted) {
    store::check_id(lock.id);
  }
  put_in_order(wanted);
  for (const WantedLock& lock : wanted) {
    if (is_covered(store, lock)) {
      continue;
    }
    const std::vector<store::LockHolder> holders = store::lock_holders(store, lock.id);
    const bool is_free =
        lock.mode == store::LockMode::shared
            ? std::ranges::find(holders, store::LockMode::exclusive, &store::LockHolder::mode) ==
                  holders.end()
            : store::wait_until_free(store, lock.id,
                                     base::Deadline::after(std::chrono::milliseconds(0)));
    if (!is_free) {
      throw base::Refused(refusal(store, lock.id) + "; wait for it to end");
    }
  }
}

LockSet LockSet::take(const store::Store& store, std::vector<WantedLock> wanted,
                      const base::Deadline& deadline) {
  for (const WantedLock& lock : wanted) {
    store::check_id(lock.id);
  }
  put_in_order(wanted);
  std::erase_if(wanted, [&](const WantedLock& lock) { return is_covered(store, lock); });
  if (std::ranges::any_of(wanted, [](const WantedLock& lock) { return !lock.file; })) {
    make_room(wanted.size());
  }
  const std::string held = store::last_inherited_id(store);
  // Only a call that takes no further lock may lock the directory.
  const auto when_full =
      wanted.size() == 1 ? store::WhenFull::lock_directory : store::WhenFull::fail;
  require_lock_files(store, wanted, when_full);
  LockSet set;
  std::vector<store::IdLock> for_caller;
  try {
    for (const WantedLock& lock : wanted) {
      store::IdLock taken = lock::take(store, lock, held, deadline, when_full);
      if (lock.file) {
        for_caller.push_back(std::move(taken));
        set.callers_fds_.push_back(lock.file->fd);
      } else {
        set.fds_.push_back(move_up(std::move(taken).take_fd()));
      }
    }
  } catch (...) {
    std::ranges::for_each(for_caller, &store::IdLock::release);
    throw;
  }
  return set;
}

std::string LockSet::environment() const {
  const char* inherited = std::getenv("SNAPFORK_LOCK_FD");
  std::string list = inherited != nullptr ? inherited : "";
  const auto add = [&list](int fd) { list += (list.empty() ? "" : ",") + std::to_string(fd); };
  for (const base::Fd& fd : fds_) {
    add(fd.get());
  }
  std::ranges::for_each(callers_fds_, add);
  return list;
}

void LockSet::keep_across_exec() const {
  for (const base::Fd& fd : fds_) {
    ::fcntl(fd.get(), F_SETFD, 0);  // the command and its children must hold the lock
  }
}

}  // namespace lock
