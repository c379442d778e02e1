// Lists of hot pages: which pages a guest touches first, to be installed before it asks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pager/region.h"

namespace pager {

// A page: the region's index in the handshake, and the byte offset in that region, a multiple of
// the region's page size.
struct HotPage {
  uint32_t region = 0;
  uint64_t offset = 0;
  bool operator==(const HotPage&) const = default;
};

// HPL1, hypeman's format byte for byte: "HPL1", an unsigned LEB128 count, then for each entry the
// region index and the byte offset, both unsigned LEB128; nothing behind. Entries keep their order.
std::string encode_hpl1(std::span<const HotPage> pages);
// Throws base::BadData naming `name`: wrong magic, truncated, overlong number, trailing bytes,
// region index over 32 bits. The count is not trusted: memory is taken as entries are read.
std::vector<HotPage> decode_hpl1(std::string_view data, std::string_view name);

// The largest list that is read from a file: room for more pages than a 256 GiB guest has hot.
inline constexpr size_t kMaxHotListBytes = size_t{256} << 20U;

// Throws base::BadData naming `name` and the first entry that is outside of `regions` or no
// multiple of its region's page size: a list for a larger image or another layout installs nothing.
void check_hot_list(std::span<const HotPage> pages, std::span<const Region> regions,
                    std::string_view name);

}  // namespace pager
