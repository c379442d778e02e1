// SPDX-License-Identifier: Apache-2.0
// Says what is known to go wrong when the releases that load a state do so.
#pragma once

#include <string_view>
#include <vector>

#include "meta/vmstate/formats.h"
#include "meta/vmstate/vmstate.h"

namespace meta::vmstate {

// A bug of Firecracker that a restored guest meets.
struct RestoreBug {
  unsigned issue;          // its number in Firecracker's repository
  ReleaseNumber fixed_in;  // earlier releases have it
  std::string_view effect;
};

// The bugs that concern this guest in at least one of the releases that load its state, ordered by
// issue. A guest whose devices could not be read counts as one that has all devices.
std::vector<RestoreBug> restore_bugs_of(const VmState& state);

}  // namespace meta::vmstate
