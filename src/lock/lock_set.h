// SPDX-License-Identifier: Apache-2.0
// The locks on several ids at once, to be handed to a command.
#pragma once

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
};

// For a dry run: throws as LockSet::take does without waiting, when a lock is held by another
// process now. Takes and creates nothing.
void require_free(const store::Store& store, std::vector<WantedLock> wanted);

// Locked descriptors that are ready to be inherited. They stand above the numbers that shell
// scripts use for themselves, so that `exec 3>file` in the command does not end a lock.
class LockSet {
 public:
  // Takes the locks that no inherited one covers, whatever order they come in: first those that are
  // waited for, in the order of the ids, then the others. So whoever waits holds only locks on
  // names before the one it waits for, and processes never wait for each other in a circle. For the
  // same reason an id that comes before one whose lock is inherited is not waited for.
  //
  // Throws base::UsageError when an id is wanted in two modes; base::Refused, naming the holders,
  // when one cannot be had (until `deadline`, if it is waited for) or the inherited lock on it is
  // shared and an exclusive one is wanted; then none is kept. Says on standard error what it waits
  // for when that takes a second.
  static LockSet take(const store::Store& store, std::vector<WantedLock> wanted,
                      const base::Deadline& deadline);

  // SNAPFORK_LOCK_FD for the command: what it was, and these.
  std::string environment() const;
  // Lets the descriptors stay open in the program that is executed next.
  void keep_across_exec() const;

 private:
  std::vector<base::Fd> fds_;
};

}  // namespace lock
