// SPDX-License-Identifier: Apache-2.0
// Removing the lock files of an id that nobody uses.
#pragma once

#include <string_view>

#include "store/store.h"

namespace store {

enum class LockFiles {
  absent,   // there are none
  idle,     // nobody holds or awaits the lock
  in_use,   // somebody does, or did a moment ago
  foreign,  // what has one of the two names is not an empty regular file with one name
};

// Whether the files <id>.lock and <id>.gate could be removed now. Takes both locks for a moment,
// the gate first: a caller of IdLock::acquire that does not wait stands at the gate for longer than
// that. Throws std::system_error.
LockFiles examine_lock(const Store& store, std::string_view id);

// Removes both files while it holds both exclusively, <id>.lock first, when they are idle; returns
// what they were. Killed between the two unlinks it leaves the gate, which the next acquire uses
// and the next forget_lock removes. A process that waits for one of the files gets its lock, sees
// that the path does not name that file, and starts again.
//
// A process that has inherited the lock on `id` holds it: its own call returns in_use. The caller
// should know that no guest has the id; if a guest has it, nothing is lost but two files.
LockFiles forget_lock(const Store& store, std::string_view id);

}  // namespace store
