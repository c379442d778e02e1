// SPDX-License-Identifier: Apache-2.0
// Reads bincode, the encoding of Firecracker 1.10 to 1.14: fixed width, little endian, no padding.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "meta/vmstate/type.h"

namespace meta::vmstate {

// Reads one value of `type` at `offset` and appends its parts that have a role to `found`. Returns
// the offset after the value. Returns nothing if the bytes are not a value of `type`: a length
// beyond the end, a boolean that is neither 0 nor 1, a string that is not UTF-8, and so on.
std::optional<size_t> read_bincode(std::string_view bytes, size_t offset, const Type& type,
                                   Budget& budget, std::vector<Field>& found);

}  // namespace meta::vmstate
