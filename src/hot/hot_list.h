// SPDX-License-Identifier: Apache-2.0
// Lists of hot pages: the pages that a guest touches first, in order. Any format is read here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hot/hot_page.h"
#include "hot/region.h"

namespace hot {

// The largest list that is read from a file. It holds more entries than a 256 GiB guest has hot
// pages.
inline constexpr size_t kMaxHotListBytes = size_t{256} << 20U;
// Size in bytes of the largest list with `entries` entries in any format, at most kMaxHotListBytes.
size_t largest_hot_list(uint64_t entries);

struct Decoded {
  std::vector<HotPage> pages;
  std::string problem;  // empty if the list is well formed; else `pages` is empty
};
// Reads a list of any known format, which its first bytes name. The problem of a list of another
// format names those bytes. A list with more than `most_entries` entries is refused.
Decoded try_decode_hot_list(std::string_view data,
                            uint64_t most_entries = std::numeric_limits<uint64_t>::max());
// As try_decode_hot_list, but throws base::BadData "cannot use hot list 'NAME': PROBLEM".
std::vector<HotPage> decode_hot_list(std::string_view data, std::string_view name,
                                     uint64_t most_entries = std::numeric_limits<uint64_t>::max());

// Describes the first entry that cannot belong to a memory file of `memory_bytes` with any regions:
// it lies outside of the file, or is not a multiple of kSmallPage. Empty if there is no such entry.
std::string bounds_problem(std::span<const HotPage> pages, uint64_t memory_bytes);

// Throws base::BadData naming `name` and the first entry that is outside of `regions` or not a
// multiple of its region's page size: a list that was recorded from a larger image or another
// layout is rejected as a whole.
void check_hot_list(std::span<const HotPage> pages, std::span<const Region> regions,
                    std::string_view name);

}  // namespace hot
