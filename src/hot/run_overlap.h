// SPDX-License-Identifier: Apache-2.0
// Finds pages that a list names twice.
#pragma once

#include <cstdint>
#include <optional>

#include "hot/hot_list.h"

namespace hot {

// The number, in the memory file, of a page that two runs have in common; nothing if each page
// occurs once. The runs must fit list.regions. Uses at most 16 bytes for each run.
std::optional<uint64_t> repeated_page(const HotList& list);

}  // namespace hot
