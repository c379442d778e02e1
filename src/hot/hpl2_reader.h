// SPDX-License-Identifier: Apache-2.0
// The only reader of HPL2. Other code reads lists by parse_hot_list (hot_list.h).
#pragma once

#include <cstdint>
#include <string_view>

#include "hot/hot_list.h"

namespace hot {

// `data` begins with kHpl2Magic. Throws base::BadData with the problem if the file is not a valid
// list. No count is trusted: memory for an entry is allocated only if the bytes of the entry exist.
HotList read_hpl2(std::string_view data, uint64_t most_entries);

}  // namespace hot
