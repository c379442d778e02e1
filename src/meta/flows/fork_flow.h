// SPDX-License-Identifier: Apache-2.0
// The start of a fork, which announces it, and the end of one. (Between them: fork_publish.h.)
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "meta/guest/guest_state.h"
#include "store/files.h"
#include "store/store.h"

namespace meta {

// Order of steps, and what a crash after each leaves:
//
//| begin    index entries of a template, durable   an entry without a guest: under way, then stale
//| (clone)  .snapfork/tmp/fork.<NEW>               the same, and a directory that counts as no guest
//| publish  metadata in it, flushed; renamed       a whole guest, counted
//| end      leftover clones, then the entries      the index over-counts, never under-counts

// Where the clone of a fork under way is made.
std::string clone_dir(const store::Store& store, std::string_view fork_id);
std::string clone_name(std::string_view fork_id);  // its last component

// The locks that begin and publish need: the source is read, each fork is made.
store::GuestLocks lock_for_forks(const store::Store& store, const std::string& source_id,
                                 const std::vector<std::string>& fork_ids);
// Throws base::UsageError when an id is given twice, base::Refused when a fork exists already.
void require_new_forks(const store::Store& store, const std::string& source_id,
                       const std::vector<std::string>& fork_ids);

struct BegunForks {
  bool links_memory = false;  // the source is a template: its memory may be shared by hard link
};
// Refused when the source is neither Standby nor Template (nor, with Force::yes, Stale), has
// compressed memory, or a fork exists.
BegunForks begin_forks(const store::Store& store, const std::string& source_id,
                       const std::vector<std::string>& fork_ids, Force force, store::Effect effect);

// `template_id` may be empty: then there are only clones to remove. Refused while a fork lives.
void end_forks(const store::Store& store, const std::string& template_id,
               const std::vector<std::string>& fork_ids, store::Effect effect);

}  // namespace meta
