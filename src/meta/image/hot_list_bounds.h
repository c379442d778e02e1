// SPDX-License-Identifier: Apache-2.0
// Checks whether a hot list can belong to a memory file of a given size.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace meta {

// Returns why the list behind `fd` cannot belong to `memory_bytes` of memory. Empty if it can.
// hot::try_decode_hot_list and hot::bounds_problem decide; the page server refuses the same lists.
std::string hot_list_problem(int fd, std::string_view name, uint64_t memory_bytes);

}  // namespace meta
