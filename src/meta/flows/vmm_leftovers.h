// SPDX-License-Identifier: Apache-2.0
// Finds and removes directories in the run directory whose guest another program removed.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace meta {

// The directory of a VMM that `snapfork run` started for a guest that no longer exists.
struct VmmLeftover {
  std::string id;    // of the guest
  std::string path;  // the directory
};

// Returns them for guests of this store, sorted by path; with `id`, only those of that guest. The
// VMM may still run. Only a directory that belongs to this user, and whose file `guest` names a
// directory of this store, counts: stores may share a run directory.
std::vector<VmmLeftover> find_vmm_leftovers(const store::Store& store,
                                            const std::optional<std::string>& id = std::nullopt);
// Whether the directory at `path` still is such a leftover.
bool is_vmm_leftover(const store::Store& store, const std::string& path);
// Removes the directory. Returns false, and changes nothing, if fc-run holds its lock: its VMM
// runs. Throws std::system_error.
bool remove_vmm_leftover(const std::string& path);

// The directories of VMMs of this store's guests whose jail was not undone (store/jail_undo.h),
// because fc-run was killed: no process holds the directory's lock.
std::vector<VmmLeftover> find_jail_leftovers(const store::Store& store);
bool is_jail_leftover(const store::Store& store, const std::string& path);
// Undoes the jail, unless a process holds the lock by now.
void undo_jail_leftover(const std::string& path);

}  // namespace meta
