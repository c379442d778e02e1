// SPDX-License-Identifier: Apache-2.0
// The lock on one id of the store: shared for forks in progress, exclusive for changes.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/fd.h"
#include "store/store.h"

namespace store {

enum class LockMode { shared, exclusive };

// What to do if the disk has no space for the lock file of an id that has none.
enum class WhenFull { fail, lock_directory };

// A descriptor that another process opened on the lock file of an id, and for which this process
// takes the lock. Both share the open file description, so the lock stays with the other process.
struct CallersFile {
  int fd = -1;
  pid_t owner = 0;  // the other process; its pid is recorded for `holders`
};

// flock(2) on <root>/.snapfork/locks/<id>.lock. The lock belongs to the open file description:
// children inherit it, and it ends when the last process that has it ends, for any reason.
//
// Writers do not starve. A process that wants the lock first takes <id>.gate exclusively. A process
// that waits for the exclusive lock keeps the gate until it has the lock, so that no new shared
// holder gets in.
//
// forget_lock (id_lock_forget.h) removes both files while it holds both exclusively, and a person
// may remove or replace either. So path and inode are compared after each flock, and a waiter whose
// file was replaced starts again with the new one. Exclusion depends on <id>.lock alone; the gate
// only keeps the order.
//
// Full disk: a lock file is created under the shared lock on the directory locks/ itself, which no
// other step takes. A process that wants one exclusive lock and cannot create its file (ENOSPC,
// EDQUOT), as `delete` does, locks the directory exclusively instead. While it holds that lock, no
// lock file can be created: it holds every id that has no lock file. It then waits for no other
// lock, because other processes may wait for the directory while they hold any lock.
//
// Several ids: take them in the order of the ids, as template-lock does. No process upgrades a
// lock: a failed flock upgrade loses the shared lock.
class IdLock {
 public:
  // Waits until `deadline`; a deadline of 0 ms returns at once. Returns nothing if other
  // processes still hold the lock then. Creates the layout of the store and the lock file if they
  // do not exist. Throws std::system_error, or Unsupported if the filesystem has no locks. While
  // this function waits, it uses SIGALRM of the process; only one thread may wait at a time.
  //
  // `when_full`: lock_directory is for an exclusive lock of a caller that takes no further lock.
  static std::optional<IdLock> acquire(const Store& store, std::string_view id, LockMode mode,
                                       const base::Deadline& deadline,
                                       WhenFull when_full = WhenFull::fail);
  // The same for a descriptor of another process. That process must not create the lock file,
  // because only a program that has locked the directory locks/ may do that. On a full disk `file`
  // may be the directory. The result has a duplicate of the descriptor; closing it does not release
  // the lock, `release` does.
  //
  // Throws TryAgain, without the lock, if the path of the lock file, looked up without following a
  // link, does not name `file`. The lock file then exists, unless the disk is full and the caller
  // should open the directory. Throws BadData if it is not a regular file.
  static std::optional<IdLock> acquire_for(const CallersFile& file, const Store& store,
                                           std::string_view id, LockMode mode,
                                           const base::Deadline& deadline,
                                           WhenFull when_full = WhenFull::fail);
  void release() const;
  // Returns whether `file` is what acquire_for needs: the lock file, or on a full disk the
  // directory. If it is not, creates the lock file, without waiting, for the caller to open.
  static bool is_lock_file(const CallersFile& file, const Store& store, std::string_view id,
                           WhenFull when_full);

  // The locked descriptor (close-on-exec), to pass on or to keep.
  int fd() const { return fd_.get(); }
  base::Fd take_fd() && { return std::move(fd_); }

 private:
  explicit IdLock(base::Fd fd) : fd_(std::move(fd)) {}
  base::Fd fd_;
};

// IdLock::acquire, and a message that names the holders if it waits longer than 1 s.
// With `file`, IdLock::acquire_for.
std::optional<IdLock> acquire_and_report(const Store& store, std::string_view id, LockMode mode,
                                         const base::Deadline& deadline,
                                         WhenFull when_full = WhenFull::fail,
                                         const std::optional<CallersFile>& file = {});

// Returns the mode of the lock on `id` that this process has inherited. That is one of the
// descriptors listed in SNAPFORK_LOCK_FD ("7" or "7,9") that is open on the id's lock file and that
// /proc/self/fdinfo shows as locked. For an id without a lock file it may also be the directory of
// lock files, locked exclusively. Returns nothing if there is none.
std::optional<LockMode> inherited_lock(const Store& store, std::string_view id);

// Closes every inherited lock and removes SNAPFORK_LOCK_FD from the environment. For daemons, which
// would otherwise hold the locks until they exit.
void close_inherited_locks();

// Returns the ids whose locks this process has inherited, sorted.
std::vector<std::string> inherited_ids(const Store& store);

// Returns the last of these ids; empty if there are none; a string that sorts after every id if the
// directory of lock files is locked. A process does not wait for an id that sorts before this one,
// because the holder of that id may wait for this one. `why_not_waited_for` returns the clause for
// a refusal.
std::string last_inherited_id(const Store& store);
std::string why_not_waited_for(std::string_view held);

// A program calls this before it changes `id`. If an inherited lock covers the id, returns nothing
// at once. Else takes the lock (acquire_and_report) and returns it; the caller keeps it until the
// end. Waits until `deadline`, but not for an id that sorts before an inherited one. Throws
// Refused, with the names of the holders, if the lock is not available, or if the inherited lock is
// shared and an exclusive one is needed.
std::optional<IdLock> require_lock(const Store& store, std::string_view id, LockMode mode,
                                   const base::Deadline& deadline,
                                   WhenFull when_full = WhenFull::fail);

// Returns true as soon as no process holds the lock on `id`, or false at `deadline`. It waits
// without holding the gate, so it does not block new holders, and under constant traffic the wait
// may last until the deadline.
bool wait_until_free(const Store& store, std::string_view id, const base::Deadline& deadline);

}  // namespace store
