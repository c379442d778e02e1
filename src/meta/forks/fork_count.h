// SPDX-License-Identifier: Apache-2.0
// Counts the forks of a guest and decides whether its memory is locked, for show and list.
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

// The forks of a template, from its index. If another program set IsTemplate, there is no index,
// and all guests are scanned. A guest that is not a template has no forks.
std::vector<ForkRecord> forks_of(const store::Store& store, std::string_view id,
                                 const Metadata& metadata);
// The number of forks that are live or cannot be read.
size_t count_forks(const store::Store& store, std::string_view id, const Metadata& metadata);

// hypeman's mem_locked: nothing may write into the memory file, because the guest is a template or
// the inode has several links.
bool is_memory_locked(const GuestState& state, const Metadata& metadata);

}  // namespace meta
