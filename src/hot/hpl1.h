// SPDX-License-Identifier: Apache-2.0
// HPL1, the file format of hot lists. This is its only reader and writer. Other code reads lists by
// decode_hot_list (hot_list.h), which knows every format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hot/hot_page.h"

namespace hot {

inline constexpr std::string_view kHpl1Magic = "HPL1";

// Size in bytes of the largest list with `entries` entries, at most `limit`.
size_t largest_hpl1(uint64_t entries, size_t limit);

// The format is hypeman's, byte for byte: "HPL1", an unsigned LEB128 count, then for each entry the
// region index and the byte offset, both unsigned LEB128. Nothing follows. Entries keep their
// order.
std::string encode_hpl1(std::span<const HotRun> runs, uint64_t page_size);
std::string encode_hpl1(std::span<const HotPage> pages);

// `data` begins with kHpl1Magic. Rejects a truncated list, a number that has redundant bytes or
// more than 64 bits, trailing bytes, a region index over 32 bits, and more than `most_entries`
// entries. The count is not trusted: it allocates no more than the bytes that follow it can fill.
// Each entry becomes a run of one page, because the format does not contain the page size. Throws
// base::BadData with the problem and the byte where it occurred.
std::vector<HotRun> read_hpl1(std::string_view data, uint64_t most_entries);

}  // namespace hot
