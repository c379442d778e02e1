// SPDX-License-Identifier: Apache-2.0
// How many forks a guest has, and whether its memory may be written: what show and list tell.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "meta/forks/fork_index.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "store/store.h"

namespace meta {

// The forks of a template: from its index, or, where another program flagged it, from a scan of all
// guests. None of what is no template.
std::vector<ForkRecord> forks_of(const store::Store& store, std::string_view id,
                                 const Metadata& metadata);
// Those that live, and those that cannot be read.
size_t count_forks(const store::Store& store, std::string_view id, const Metadata& metadata);

// hypeman's mem_locked: nothing may write into the memory file, because it is a template's, or
// because its inode has several links.
bool is_memory_locked(const GuestState& state, const Metadata& metadata);

}  // namespace meta
