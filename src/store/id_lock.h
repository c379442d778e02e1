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
// Full disk: a process that wants one exclusive lock and cannot create its file (ENOSPC, EDQUOT),
// as `delete` does, locks the directory locks/ exclusively instead. It then holds every id without
// a lock file, and waits for no other lock.
//
// A lock file may be created at any time, also by the caller of template-lock --fd. So the first
// process that locks it checks that no other process holds the directory: it locks the directory
// shared, marks the file as checked (the sticky bit), and releases the directory. Until a file is
// checked, its lock does not count. Proof that no two processes hold one id: a file is marked only
// while no process holds the directory. A process that locks the directory later finds the file,
// and waits for its lock. A process that holds the directory holds only ids whose file does not
// exist or is not checked; the locks of these do not count until it releases the directory. A file
// is removed only under its own exclusive lock. The one that replaces it is not checked.
//
// A process that cannot check a file releases its lock before it waits for the directory, because
// the holder of the directory may be about to lock the file.
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
  // The same for a descriptor of another process, which may have created the lock file. On a full
  // disk `file` may be the directory. The result has a duplicate of the descriptor; closing it does
  // not release the lock, `release` does.
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
