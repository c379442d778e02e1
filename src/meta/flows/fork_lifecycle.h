// SPDX-License-Identifier: Apache-2.0
// Starts and ends forks: their index entries, clones and locks. fork_publish.h is the step between.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/effect.h"
#include "meta/guest/guest_paths.h"
#include "meta/guest/guest_state.h"
#include "store/files.h"
#include "store/store.h"

namespace meta {

// The steps of a fork, in order, and what a crash after each step leaves:
//
//| step     what it writes                          what a crash after it leaves
//| begin    index entries of a template             entries without guests: stale without the locks
//| (clone)  .snapfork/tmp/fork.NEW                  the same, and a directory that is not a guest
//| publish  state, metadata; one rename per fork    whole guests that the index counts
//| end      removes clones, then index entries      an index that over-counts, never under-counts

// The directory where the clone of a fork is made.
std::string clone_dir(const store::Store& store, std::string_view fork_id);
std::string clone_name(std::string_view fork_id);  // its last component

// Where the fork will be, for GuestPaths::own_paths. `files_dir` has its files now. Before the
// clone exists, `session` is not the name that the fork will have, but as long.
GuestPlace fork_place(const store::Store& store, std::string_view id, const std::string& files_dir);

// Takes the locks for begin and publish: shared on the source, exclusive on each fork.
store::GuestLocks lock_for_forks(const store::Store& store, const std::string& source_id,
                                 const std::vector<std::string>& fork_ids);
// Throws base::UsageError if an id is given twice, and base::Refused if a fork already exists.
void require_new_forks(const store::Store& store, const std::string& source_id,
                       const std::vector<std::string>& fork_ids);

struct BegunForks {
  bool links_memory = false;  // the source is a template, so forks link its memory file
};
// Adds the index entries and removes old clones. Throws base::Refused if the source is neither
// Standby nor Template (nor Stale with Force::yes), its memory is compressed, or a fork exists;
// and, for a source that is not a template, as GuestPaths::own_paths does, before memory is cloned
// in vain.
BegunForks begin_forks(const store::Store& store, const std::string& source_id,
                       const std::vector<std::string>& fork_ids, Force force, base::Effect effect);

// Removes the clones, and the index entries unless `template_id` is empty. Throws base::Refused if
// a fork exists as a guest.
void end_forks(const store::Store& store, const std::string& template_id,
               const std::vector<std::string>& fork_ids, base::Effect effect);

}  // namespace meta
