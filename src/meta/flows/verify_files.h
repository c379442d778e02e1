// SPDX-License-Identifier: Apache-2.0
// Checks the disks, the hot list and the links of the memory of a guest against its snapshot.
#pragma once

#include <string>
#include <vector>

#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "store/store.h"

namespace meta {

// Each function returns one sentence for each problem, without the guest's id.

// Each file in snapfork.disks exists, the state has its path, and it has the recorded size. A pmem
// file has the size of its device. A drive in the guest's own directory exists. (A state file does
// not contain the size of a drive.)
std::vector<std::string> disk_problems(const store::Store& store, const std::string& id,
                                       const Metadata& metadata);

// template/hot.hpl (HPL1) is valid for the memory, and HotPagesPath exists.
std::vector<std::string> hot_list_problems(const store::Store& store, const std::string& id,
                                           const Metadata& metadata, const GuestState& state);

// Only a template and its forks share the inode of the memory. A write through any other link would
// change the guest, and a write by the guest would change the other file.
std::vector<std::string> memory_link_problems(const store::Store& store, const std::string& id,
                                              const Metadata& metadata);

}  // namespace meta
