// SPDX-License-Identifier: Apache-2.0
// Whether a hot list can be for a memory file at all.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace meta {

// Why the list behind `fd` cannot be for `memory_bytes` of memory: what hot::try_decode_hpl1 and
// hot::bounds_problem refuse, which is what a page server refuses too. Empty when it can.
std::string hot_list_problem(int fd, std::string_view name, uint64_t memory_bytes);

}  // namespace meta
