// SPDX-License-Identifier: Apache-2.0
// Counts the forks of a template from its index, or by a scan of all guests.
#include "meta/forks/fork_count.h"

#include <algorithm>

namespace meta {

std::vector<ForkRecord> forks_of(const store::Store& store, std::string_view id,
                                 const Metadata& metadata) {
  if (!metadata.is_template()) {
    return {};
  }
  return has_fork_index(store, id) ? read_fork_index(store, id) : scan_for_forks(store, id);
}

size_t count_forks(const store::Store& store, std::string_view id, const Metadata& metadata) {
  const std::vector<ForkRecord> forks = forks_of(store, id, metadata);
  return static_cast<size_t>(std::ranges::count_if(forks, [](const ForkRecord& fork) {
    return fork.state == ForkState::live || fork.state == ForkState::unreadable;
  }));
}

bool is_memory_locked(const GuestState& state, const Metadata& metadata) {
  return metadata.is_template() || state.snapshot.memory_links > 1;
}

}  // namespace meta
