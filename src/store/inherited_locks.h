// SPDX-License-Identifier: Apache-2.0
// The locks that a process inherited: the descriptors listed in SNAPFORK_LOCK_FD ("7" or "7,9").
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/id_lock.h"
#include "store/store.h"

namespace store {

// Returns the mode of the lock on `id` that this process has inherited: the lock of a listed
// descriptor that is open on the id's lock file, and that /proc/self/fdinfo shows as locked. The
// directory of lock files, locked exclusively, stands for each id without a checked lock file (see
// IdLock). Returns nothing if there is none.
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

}  // namespace store
