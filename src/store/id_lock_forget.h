// SPDX-License-Identifier: Apache-2.0
// Removes the lock files of an id that no process uses.
#pragma once

#include <string_view>

#include "store/store.h"

namespace store {

enum class LockFiles {
  absent,   // neither file exists
  idle,     // no process holds or awaits the lock
  in_use,   // a process holds or awaits it, or did a moment ago
  foreign,  // a file of one of the two names is not an empty regular file with one link
};

// Returns whether the files <id>.lock and <id>.gate could be removed now. Holds both locks for a
// moment, the gate first: a caller of IdLock::acquire that does not wait for the lock waits at the
// gate longer than that. Throws std::system_error.
LockFiles examine_lock(const Store& store, std::string_view id);

// If both files are idle, locks both exclusively and removes them, <id>.lock first. Returns what
// they were. If it is killed between the two unlinks, the gate remains; the next acquire uses it
// and the next forget_lock removes it. A process that waits for one of the files gets its lock,
// sees that the path does not name that file, and starts again.
//
// If the process has itself inherited the lock on `id`, the result is in_use. The caller should
// know that no guest has the id; if a guest has it, only two files are lost.
LockFiles forget_lock(const Store& store, std::string_view id);

}  // namespace store
