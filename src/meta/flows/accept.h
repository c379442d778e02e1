// SPDX-License-Identifier: Apache-2.0
// A Stale guest becomes what it was before: its disks are accepted as those of its snapshot.
#pragma once

#include <string>
#include <vector>

#include "store/files.h"
#include "store/store.h"

namespace meta {

// Under the guest's lock, records length and modification time of its disks anew, durably. Returns
// how they differed (changed_disks): nothing when there was nothing to accept. Throws base::Refused
// while the guest runs, when its snapshot is not whole, and when a disk is missing.
std::vector<std::string> accept_disks(const store::Store& store, const std::string& id,
                                      store::Effect effect);

}  // namespace meta
