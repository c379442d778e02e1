// SPDX-License-Identifier: Apache-2.0
// What interrupted commands leave of an id outside of guests/, and its removal.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/files.h"
#include "store/store.h"

namespace meta {

// `name` without what base::temporary_name puts around it, where that is present.
std::string_view bare_name(std::string_view name);

// The id in a name of .snapfork/tmp: "fork.ID", "import.ID", ".fork.ID.snapfork-tmp" (a word of
// letters, a dot, the id). Nothing for other names.
std::optional<std::string> owner_in_tmp(std::string_view name);

// Throws base::Refused, naming it, when there is a mount point at `path` or below it: asked before
// anything is removed, so that nothing is left half removed.
void refuse_mounts(const store::Store& store, const std::string& path);

// Removes one leftover. Throws base::Refused when a program works on it (reflink-clone keeps a
// flock on what it builds, also when nobody has taken the id's lock) and for a mount point in it;
// base::BadData for a link on the way to it; std::system_error. The caller holds the id's lock.
void remove_leftover(const store::Store& store, const std::string& path);

// Finishes the removal of .snapfork/trash/ID: its files, then its entry in its template's index,
// then its metadata, which names the template. So it can be cut short anywhere and finished by
// another call. A link in its place is removed itself. Throws as remove_leftover does.
void finish_delete(const store::Store& store, const std::string& id);

// Everything that is left of an id, in the order of removal.
struct Leftovers {
  std::vector<std::string> in_tmp;      // paths
  std::optional<std::string> trash;     // path
  std::vector<std::string> entries_of;  // templates that count `id`, which does not exist
  bool empty() const { return in_tmp.empty() && !trash && entries_of.empty(); }
  std::vector<std::string> paths(const store::Store& store, const std::string& id) const;
};
// Looks for index entries, which takes a look at every guest, only when neither a guest ID exists
// nor metadata in the trash names the template.
Leftovers find_leftovers(const store::Store& store, const std::string& id);

// Whether there is neither a guest of that id nor anything of it in .snapfork/tmp and
// .snapfork/trash; fork indexes are not read.
bool is_unused_id(const store::Store& store, const std::string& id);

// Removes all of it, under the exclusive lock on `id` (Effect::real), and returns what it was. An
// id of which nothing is left is not an error. Throws as remove_leftover does.
Leftovers purge(const store::Store& store, const std::string& id, store::Effect effect);

}  // namespace meta
