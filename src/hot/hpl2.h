// SPDX-License-Identifier: Apache-2.0
// HPL2, the file format of hot lists that name their image (docs/hot-page-list.md). This is its
// only reader and writer. Other code reads lists by parse_hot_list (hot_list.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "hot/hot_list.h"

namespace hot {

inline constexpr std::string_view kHpl2Magic = "HPL2";

// Size in bytes of the largest list with `entries` pages, at most `limit`, without the optional
// sections of other programs.
size_t largest_hpl2(uint64_t entries, size_t limit);

// Adjacent runs are joined. Throws base::BadData if `list` has no regions, or if its pages do not
// fit them or occur twice, or if phases or weights do not cover the pages.
std::string encode_hpl2(const HotList& list);

// `data` begins with kHpl2Magic. Throws base::BadData with the problem if the file is not a valid
// list. No count is trusted: memory for an entry is allocated only if the bytes of the entry exist.
HotList read_hpl2(std::string_view data, uint64_t most_entries);

}  // namespace hot
