// SPDX-License-Identifier: Apache-2.0
// Finds the devices at the end of a state file, whose place depends on what stands before.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "meta/vmstate/layout.h"

namespace meta {

// Looks for places from which a reading of the devices of snapshot version `version` ends exactly
// at the end of `body`, a state file without its CRC. Returns what they found; nothing when the
// version is not known, no such place exists, two places tell different things, or the search takes
// too long.
std::optional<std::vector<Found>> search_devices(std::string_view body, std::string_view version,
                                                 Encoding encoding, Arch arch);

}  // namespace meta
