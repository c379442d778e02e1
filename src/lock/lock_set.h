// SPDX-License-Identifier: Apache-2.0
// Takes the locks on several ids at once, for a command to inherit.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/fd.h"
#include "store/id_lock.h"
#include "store/store.h"

namespace lock {

struct WantedLock {
  std::string id;
  store::LockMode mode = store::LockMode::exclusive;
  bool waits = true;
  std::optional<store::CallersFile> file = {};  // lock this descriptor instead of an own one
};

// For a dry run: throws as LockSet::take without waiting does if another process holds one of the
// locks now. Takes and creates nothing.
void require_free(const store::Store& store, std::vector<WantedLock> wanted);

// Locked descriptors that a command can inherit. Their numbers are above those that shell scripts
// use, so that `exec 3>file` in the command does not end a lock.
class LockSet {
 public:
  // Takes the locks that no inherited lock covers, given in any order: first those that it waits
  // for, in the order of the ids, then the others. A process that waits therefore holds only
  // locks on ids that sort before the one it waits for, so lock cycles cannot form. For the same
  // reason it does not wait for an id that sorts before an inherited one.
  //
  // Throws base::UsageError if an id is requested in two modes. Throws base::Refused, with the
  // names of the holders, if a lock is not available (until `deadline`, if it waits) or if the
  // inherited lock on an id is shared and an exclusive one is requested; then it keeps none.
  // After a wait of one second it prints on standard error what it waits for.
  //
  // Locks on files of the caller stay with the caller when this process ends. If one of several
  // cannot be taken, those that this call took are released.
  static LockSet take(const store::Store& store, std::vector<WantedLock> wanted,
                      const base::Deadline& deadline);

  // Returns the new value of SNAPFORK_LOCK_FD for the command: its old value, these descriptors,
  // and those of the caller.
  std::string environment() const;
  // Clears close-on-exec on the descriptors.
  void keep_across_exec() const;

 private:
  std::vector<base::Fd> fds_;
  std::vector<int> callers_fds_;  // the caller owns them
};

}  // namespace lock
