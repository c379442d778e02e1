// SPDX-License-Identifier: Apache-2.0
// Reads bincode as Firecracker 1.10 to 1.14 write it: fixed width, little endian, no gaps.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "meta/vmstate/type.h"

namespace meta {

// Reads one value of `type` at `offset` and appends its parts with a role to `found`. Returns the
// offset after it; nothing when the bytes are no such value (a length beyond the end, a boolean
// that is neither 0 nor 1, a text that is not UTF-8, ...).
std::optional<size_t> read_bincode(std::string_view bytes, size_t offset, const Type& type,
                                   Effort& effort, std::vector<Found>& found);

}  // namespace meta
