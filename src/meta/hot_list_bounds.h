// Whether a hot list can be for a memory file at all.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace meta {

// Reads a list of the form HPL1 ("HPL1", a count, then a region and a byte offset in it for each
// page, all LEB128). Why it cannot be for `memory_bytes` of memory: cut off, an offset beyond the
// memory, more entries than pages. Empty when it can. Other forms are not looked into:
// hotpage-record check does.
std::string hot_list_problem(int fd, std::string_view name, uint64_t memory_bytes);

}  // namespace meta
