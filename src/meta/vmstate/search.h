// SPDX-License-Identifier: Apache-2.0
// Finds the devices at the end of a state file. Their offset is not stored in the file.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "meta/vmstate/layout.h"

namespace meta::vmstate {

// Finds the offsets from which a reading of the devices of snapshot version `version` ends exactly
// at the end of `body`, a state file without its CRC. Returns the parts with a role. Returns
// nothing if the version is not known, no such offset exists, two readings disagree, or the search
// exceeds its budget.
std::optional<std::vector<Field>> search_devices(std::string_view body, std::string_view version,
                                                 Encoding encoding, Arch arch);

}  // namespace meta::vmstate
