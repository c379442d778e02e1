// SPDX-License-Identifier: Apache-2.0
// The lock on one id of the store: shared by forks under way, exclusive for whoever changes it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/fd.h"
#include "store/store.h"

namespace store {

enum class LockMode { shared, exclusive };

// What to do when the disk has no room for the lock file of an id that has none.
enum class WhenFull { fail, lock_directory };

// flock(2) on <root>/.snapfork/locks/<id>.lock. The lock belongs to the open file description: it
// is inherited by children and ends when the last process that has it ends, however that dies.
//
// Writers do not starve: a process that wants the lock passes <id>.gate first, exclusively, and one
// that waits for the exclusive lock keeps the gate until it has it, so that no new shared holder
// gets in.
//
// forget_lock (id_lock_forget.h) removes both files while it holds both exclusively, and a person
// may remove or replace either. So path and inode are compared after each flock, and a waiter whose
// file was replaced starts again with the new one. Exclusion rests on <id>.lock alone; the gate
// only keeps the order.
//
// A full disk: a lock file is made under the shared lock on the directory locks/ itself, which no
// other step takes. A process that wants one exclusive lock and cannot make its file (ENOSPC,
// EDQUOT), as `delete` does, locks the directory exclusively instead. While it holds that, no lock
// file is made: so it holds every id that has none, and nobody else can hold those. It waits for no
// other lock then, because others may wait for the directory under any lock.
//
// Several ids: take them in the order of their names, as template-lock does. Nobody upgrades: a
// failed flock upgrade loses the shared lock.
class IdLock {
 public:
  // Waits until `deadline` (at once: Deadline::after of 0 ms). Nothing when others still hold it
  // then. Creates the store's layout and the lock file when missing. Throws std::system_error, or
  // Unsupported where the filesystem has no locks. While it waits it owns SIGALRM of the process,
  // and wants to be the only thread that waits so.
  //
  // `when_full`: lock_directory is for an exclusive lock of a caller that takes no further one.
  static std::optional<IdLock> acquire(const Store& store, std::string_view id, LockMode mode,
                                       const base::Deadline& deadline,
                                       WhenFull when_full = WhenFull::fail);

  // The locked descriptor (close-on-exec), to hand over or to keep.
  int fd() const { return fd_.get(); }
  base::Fd take_fd() && { return std::move(fd_); }

 private:
  explicit IdLock(base::Fd fd) : fd_(std::move(fd)) {}
  base::Fd fd_;
};

// The mode of the lock on `id` that this process has inherited: one of the descriptors that
// SNAPFORK_LOCK_FD lists ("7" or "7,9"), whose file is the id's lock file and which
// /proc/self/fdinfo shows as locked; or, for an id without a lock file, the directory of lock
// files, locked exclusively. Nothing when there is none.
std::optional<LockMode> inherited_lock(const Store& store, std::string_view id);

// Closes every lock that this process has inherited, and takes SNAPFORK_LOCK_FD out of the
// environment: for a daemon, which would hold the locks for as long as it lives.
void close_inherited_locks();

// The ids whose locks this process has inherited, sorted.
std::vector<std::string> inherited_ids(const Store& store);

// The last of them; empty for none; what sorts after every id when the directory of lock files is
// locked. An id before it is not waited for: its holder may be waiting for this one.
// `why_not_waited_for` says so in a refusal.
std::string last_inherited_id(const Store& store);
std::string why_not_waited_for(std::string_view held);

// What a program that changes `id` calls first. Returns at once with nothing when an inherited lock
// covers it; else takes the lock, waiting at most `deadline` (not at all for an id that comes
// before an inherited one), and returns it to be kept until the end. Throws Refused, naming the
// holders, when it cannot be had, or when the inherited lock is shared and an exclusive one is
// needed.
std::optional<IdLock> require_lock(const Store& store, std::string_view id, LockMode mode,
                                   const base::Deadline& deadline,
                                   WhenFull when_full = WhenFull::fail);

// Whether nobody holds the lock on `id` now, or until `deadline` (then false). It waits as one who
// wants the exclusive lock, but keeps nobody out meanwhile; so it may see no end where others come
// all the time.
bool wait_until_free(const Store& store, std::string_view id, const base::Deadline& deadline);

}  // namespace store
