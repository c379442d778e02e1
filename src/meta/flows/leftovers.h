// SPDX-License-Identifier: Apache-2.0
// Finds and removes what interrupted commands leave of an id outside of guests/.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/effect.h"
#include "store/store.h"

namespace meta {

// `name` without the prefix and suffix of base::temporary_name, if it has them.
std::string_view bare_name(std::string_view name);

// The id in a name of .snapfork/tmp, which is a lower-case word, a dot and the id: "fork.ID",
// "import.ID", ".fork.ID.snapfork-tmp". Returns nothing for other names.
std::optional<std::string> owner_in_tmp(std::string_view name);

// Throws base::Refused with the path of a mount point at `path` or below it. Called before anything
// is removed, so that a removal does not stop halfway.
void refuse_mounts(const store::Store& store, const std::string& path);

// Removes one leftover. Throws base::Refused if a program uses it (reflink-clone holds a flock on
// what it builds, even if no process holds the id's lock), or if it contains a mount point. Throws
// base::BadData if its path contains a link, and std::system_error. The caller holds the id's lock.
void remove_leftover(const store::Store& store, const std::string& path);

// Finishes the removal of .snapfork/trash/ID: first its files, then its entry in its template's
// index, then its metadata, which contain the template's id. If it is interrupted at any point,
// another call finishes it. If .snapfork/trash/ID is a link, the link is removed. Throws as
// remove_leftover does.
void finish_delete(const store::Store& store, const std::string& id);

// All leftovers of an id, in the order of removal.
struct Leftovers {
  std::vector<std::string> in_tmp;      // paths
  std::optional<std::string> trash;     // path
  std::vector<std::string> entries_of;  // templates whose index has `id`, which does not exist
  bool empty() const { return in_tmp.empty() && !trash && entries_of.empty(); }
  std::vector<std::string> paths(const store::Store& store, const std::string& id) const;
};
// The search for index entries reads every guest. It is skipped if the guest `id` exists, or if its
// metadata in the trash contain its template.
Leftovers find_leftovers(const store::Store& store, const std::string& id);

// Whether neither guests/ nor .snapfork/tmp nor .snapfork/trash has anything of the id. Fork
// indexes are not read.
bool is_unused_id(const store::Store& store, const std::string& id);

// Removes all leftovers of `id` under its exclusive lock, and returns them. With Effect::dry_run,
// only returns them. An id without leftovers is not an error. Throws as remove_leftover does.
Leftovers purge(const store::Store& store, const std::string& id, base::Effect effect);

}  // namespace meta
