// SPDX-License-Identifier: Apache-2.0
// Says which Firecracker releases load a state, and what is known to go wrong when they do.
#pragma once

#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "meta/vmstate/vmstate.h"

namespace meta::vmstate {

struct ReleaseNumber {
  unsigned major;
  unsigned minor;
  unsigned patch;
  bool operator<(const ReleaseNumber& other) const {
    return std::tie(major, minor, patch) < std::tie(other.major, other.minor, other.patch);
  }
  std::string text() const;  // "1.16.0"
};

// The releases that write and load snapshot version `version`, oldest first. Empty if the version
// is not known.
std::vector<ReleaseNumber> releases_that_load(std::string_view version);

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
