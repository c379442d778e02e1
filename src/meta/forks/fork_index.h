// SPDX-License-Identifier: Apache-2.0
// Which forks a template has: the index template/forks/, checked against each fork's own metadata.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace meta {

// What an entry of the index is found to be. Truth is ForkOfTemplate in the fork's own metadata;
// the index is written before it and removed after the fork is gone, so it can only over-count.
enum class ForkState {
  live,        // the guest says that it is a fork of this template
  absent,      // there is no such guest: under way, or left behind by a crash
  foreign,     // the guest exists and is not a fork of this template: left over
  unreadable,  // its metadata cannot be read: counts as live
};
struct ForkRecord {
  std::string id;
  ForkState state = ForkState::live;
  std::string problem;  // of an unreadable one
};

// What the fork's own metadata says of an entry `fork_id` of the index.
ForkRecord look_at_fork(const store::Store& store, std::string_view template_id,
                        std::string fork_id);

// Whether the directory template/forks exists. promote makes it and forks are entered into it. A
// template without it was flagged by another program, whose forks only a scan finds. Throws
// std::system_error when that cannot be told.
bool has_fork_index(const store::Store& store, std::string_view template_id);

// Whether the index has an entry for `fork_id`.
bool has_fork_index_entry(const store::Store& store, std::string_view template_id,
                          const std::string& fork_id);

// One readdir, and one small read for each entry: O(forks of this template). Sorted by id. No index
// directory: no forks. Temporary names and names that are no ids are passed over. Throws
// std::system_error when the index itself cannot be read (fail closed).
std::vector<ForkRecord> read_fork_index(const store::Store& store, std::string_view template_id);

// The same from truth alone, O(guests): the live and the unreadable ones among all guests, sorted
// by id. For a template that has no index, and for checking an index. Throws std::system_error.
std::vector<ForkRecord> scan_for_forks(const store::Store& store, std::string_view template_id);

// Makes the index directory, durably, when there is none: what promote does before it sets the
// flag. Where the flag is set already, another program has set it, and the forks that a scan finds
// go into the index before it appears: a crash leaves none or the whole. The caller holds the lock
// on the template, shared or exclusive. Throws std::system_error, base::BadData.
void create_fork_index(const store::Store& store, std::string_view template_id);

// Adds entries; present ones are kept. Makes the index when there is none. On failure, which throws
// std::system_error, the entries that it made are gone again.
void add_fork_index_entries(const store::Store& store, std::string_view template_id,
                            std::span<const std::string> fork_ids);
// Flushes the entries: what must have happened before a fork that they count is published. Throws
// std::system_error.
void sync_fork_index(const store::Store& store, std::string_view template_id);
// Removes entries; absent ones, and a template that is gone, are no error.
void drop_fork_index_entries(const store::Store& store, std::string_view template_id,
                             std::span<const std::string> fork_ids);

}  // namespace meta
