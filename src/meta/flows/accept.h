// SPDX-License-Identifier: Apache-2.0
// Accepts the disks of a Stale guest as those of its snapshot.
#pragma once

#include <string>
#include <vector>

#include "base/effect.h"
#include "store/store.h"

namespace meta {

// Records size and modification time of the guest's disks durably, under its lock. Returns how they
// differed (changed_disks); empty if they did not. Throws base::Refused if the guest runs, its
// snapshot is not whole, or a disk is missing.
std::vector<std::string> accept_disks(const store::Store& store, const std::string& id,
                                      base::Effect effect);

}  // namespace meta
