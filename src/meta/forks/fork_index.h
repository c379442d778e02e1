// SPDX-License-Identifier: Apache-2.0
// Reads and changes template/forks/, the index of a template's forks.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace meta {

// The state of an index entry. ForkOfTemplate in the fork's own metadata is authoritative. The
// entry is written before the fork is published and removed after the fork, so the index
// over-counts but never under-counts.
enum class ForkState {
  live,        // the guest is a fork of this template
  absent,      // the guest does not exist: it is being made, or a crash left the entry
  foreign,     // the guest exists and is not a fork of this template
  unreadable,  // the guest's metadata cannot be read; counts as live
};
struct ForkRecord {
  std::string id;
  ForkState state = ForkState::live;
  std::string problem;  // why an unreadable fork cannot be read
};

// The state of `fork_id` according to its own metadata.
ForkRecord inspect_fork(const store::Store& store, std::string_view template_id,
                        std::string fork_id);

// Whether the directory template/forks exists. promote creates it. If it is missing, another
// program set IsTemplate, and only a scan finds the forks. Throws std::system_error if the
// directory cannot be inspected.
bool has_fork_index(const store::Store& store, std::string_view template_id);

// Whether the index has an entry for `fork_id`.
bool has_fork_index_entry(const store::Store& store, std::string_view template_id,
                          const std::string& fork_id);

// The entries of the index, sorted by id. Reads the directory and one small file for each entry:
// O(forks of this template). Without an index the result is empty. Temporary names and names that
// are not ids are skipped. Throws std::system_error if the index cannot be read (fail closed).
std::vector<ForkRecord> read_fork_index(const store::Store& store, std::string_view template_id);

// The live and the unreadable forks among all guests, sorted by id: O(guests). For a template
// without an index, and to check an index. Throws std::system_error.
std::vector<ForkRecord> scan_for_forks(const store::Store& store, std::string_view template_id);

// Creates the index directory durably if it does not exist. promote calls this before it sets
// IsTemplate. If IsTemplate is already set, another program set it. Then the new index contains the
// forks that a scan finds, and it appears complete or not at all. The caller holds the lock on the
// template, shared or exclusive. Throws std::system_error, base::BadData.
void create_fork_index(const store::Store& store, std::string_view template_id);

// Adds entries, and creates the index if it does not exist. Existing entries are kept. On failure,
// removes the entries that it created and throws std::system_error.
void add_fork_index_entries(const store::Store& store, std::string_view template_id,
                            std::span<const std::string> fork_ids);
// Flushes the entries to disk. The caller does this before it publishes a fork that they count.
// Throws std::system_error.
void sync_fork_index(const store::Store& store, std::string_view template_id);
// Removes entries. A missing entry or template is not an error.
void drop_fork_index_entries(const store::Store& store, std::string_view template_id,
                             std::span<const std::string> fork_ids);

}  // namespace meta
