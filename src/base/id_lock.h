// The lock on one id of the store: shared by forks under way, exclusive for whoever changes it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/fd.h"
#include "base/store.h"

namespace base {

enum class LockMode { shared, exclusive };

// A process that has a lock file open and locked.
struct LockHolder {
  pid_t pid;
  std::string name;  // process_name
  LockMode mode;
};

// flock(2) on <root>/.snapfork/locks/<id>.lock. The lock belongs to the open file description: it
// is inherited by children and ends when the last process that has it ends, however that dies. The
// file is never unlinked; because somebody else may replace it, path and inode are compared after
// locking.
//
// Writers do not starve: everybody who waits passes <id>.gate first, exclusively, and who waits for
// the exclusive lock keeps the gate meanwhile, so that no new shared holder gets in.
//
// Several ids: take them in the order of their names, as template-lock does. Nobody upgrades: a
// failed flock upgrade loses the shared lock.
class IdLock {
 public:
  // Waits until `deadline` (at once: Deadline::after of 0 ms). Nothing when others still hold it
  // then. Creates the store's layout and the lock file when missing. Throws std::system_error, or
  // Unsupported where the filesystem has no locks. While it waits it owns SIGALRM of the process,
  // and wants to be the only thread that waits so.
  static std::optional<IdLock> acquire(const Store& store, std::string_view id, LockMode mode,
                                       const Deadline& deadline);

  // The locked descriptor (close-on-exec), to hand over or to keep.
  int fd() const { return fd_.get(); }
  Fd take_fd() && { return std::move(fd_); }

 private:
  explicit IdLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

// The mode of the lock on `id` that this process has inherited: one of the descriptors that
// SNAPFORK_LOCK_FD lists ("7" or "7,9"), whose file is the id's lock file and which
// /proc/self/fdinfo shows as locked. Nothing when there is none.
std::optional<LockMode> inherited_lock(const Store& store, std::string_view id);

// The ids whose locks this process has inherited, sorted.
std::vector<std::string> inherited_ids(const Store& store);

// What a program that changes `id` calls first. Returns at once with nothing when an inherited lock
// covers it; else takes the lock, waiting at most `deadline`, and returns it to be kept until the
// end. Throws Refused, naming the holders, when it cannot be had, or when the inherited lock is
// shared and an exclusive one is needed.
std::optional<IdLock> require_lock(const Store& store, std::string_view id, LockMode mode,
                                   const Deadline& deadline);

// Who holds the lock on `id` now, one record a process, from /proc (processes of other users only
// when root). Somebody may come or go meanwhile: for messages and people, never for a decision.
std::vector<LockHolder> lock_holders(const Store& store, std::string_view id);
// Why a lock could not be had: "held exclusively by 4711 (snapfork)", "held shared by 4711 (cp),
// 4712 (cp), awaited by 4713 (template-lock)" or "held by a process that cannot be seen".
std::string describe_conflict(const Store& store, std::string_view id);

}  // namespace base
