// SPDX-License-Identifier: Apache-2.0
// Whether memory holds only zeros.
#pragma once

#include <cstddef>
#include <span>

namespace base {

// Returns whether all bytes are zero; true for no bytes.
bool is_zero(std::span<const std::byte> bytes);

}  // namespace base
