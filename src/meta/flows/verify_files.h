// SPDX-License-Identifier: Apache-2.0
// Whether the files beside a snapshot fit to it: disks, hot list, and who shares the memory's
// inode.
#pragma once

#include <string>
#include <vector>

#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "store/store.h"

namespace meta {

// Each returns what does not fit, a sentence each without the guest's name.

// Files that snapfork.disks lists are there, are named by the state, and have the length that they
// had when they were adopted; a pmem file that of its device. Drives inside of the guest's own
// directory are there. (How long a drive was, no state says.)
std::vector<std::string> check_disks(const store::Store& store, const std::string& id,
                                     const Metadata& metadata);

// template/hot.hpl (HPL1) is whole and within the memory; HotPagesPath is there.
std::vector<std::string> check_hot_list(const store::Store& store, const std::string& id,
                                        const Metadata& metadata, const GuestState& state);

// Nobody shares the inode of the memory but a template and its forks: whatever else has it could be
// written into it, or be hurt by a write.
std::vector<std::string> check_memory_links(const store::Store& store, const std::string& id,
                                            const Metadata& metadata);

}  // namespace meta
