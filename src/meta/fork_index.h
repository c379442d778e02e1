// Which forks a template has: the index template/forks/, checked against each fork's own metadata.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/store.h"

namespace meta {

// What an entry of the index is found to be. Truth is ForkOfTemplate in the fork's own metadata;
// the index is written before it and removed after the fork is gone, so it can only over-count.
enum class ForkState {
  live,        // the guest says that it is a fork of this template
  absent,      // there is no such guest: under way, or left behind by a crash
  foreign,     // the guest exists and is no fork of this template: left behind
  unreadable,  // its metadata cannot be read: counts as live
};
struct ForkRecord {
  std::string id;
  ForkState state = ForkState::live;
  std::string problem;  // of an unreadable one
};

// One readdir, and one small read for each entry: O(forks of this template). Sorted by id. No index
// directory: no forks. Temporary names and names that are no ids are passed over. Throws
// std::system_error when the index itself cannot be read (fail closed).
std::vector<ForkRecord> read_fork_index(const base::Store& store, std::string_view template_id);

// Adds entries durably (each file and the directory flushed) before it returns; present ones are
// kept.
void add_fork_index_entries(const base::Store& store, std::string_view template_id,
                            std::span<const std::string> fork_ids);
// Removes entries; absent ones, and a template that is gone, are no error.
void drop_fork_index_entries(const base::Store& store, std::string_view template_id,
                             std::span<const std::string> fork_ids);

}  // namespace meta
