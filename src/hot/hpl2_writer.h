// SPDX-License-Identifier: Apache-2.0
// The only writer of HPL2. Other code writes lists by encode_hot_list (hot_list.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "hot/hot_list.h"

namespace hot {

// Size in bytes of the largest list with `entries` pages, at most `limit`, without the optional
// sections of other programs.
size_t largest_hpl2(uint64_t entries, size_t limit);

// Adjacent runs are joined. Throws base::BadData if `list` has no regions, or if its pages do not
// fit them or occur twice, or if phases or weights do not cover the pages.
std::string encode_hpl2(const HotList& list);

}  // namespace hot
