// SPDX-License-Identifier: Apache-2.0
// HPL1, the file format of hot lists: the one reader and writer of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hot {

// A page: the region's index in the handshake, and the byte offset in that region, a multiple of
// the region's page size.
struct HotPage {
  uint32_t region = 0;
  uint64_t offset = 0;
  bool operator==(const HotPage&) const = default;
};

// The largest list that is read from a file: more pages than a 256 GiB guest has hot.
inline constexpr size_t kMaxHotListBytes = size_t{256} << 20U;
// Bytes of the largest list with `entries` entries, at most kMaxHotListBytes.
size_t largest_hpl1(uint64_t entries);

// "HPL1", an unsigned LEB128 count, then for each entry the region index and the byte offset, both
// unsigned LEB128, and nothing else: hypeman's format byte for byte. Entries keep their order.
std::string encode_hpl1(std::span<const HotPage> pages);

struct Decoded {
  std::vector<HotPage> pages;
  std::string problem;  // empty if the list is well formed; else `pages` is empty
};
// Refuses a wrong magic, a truncated list, a number with spare bytes or more than 64 bits, trailing
// bytes, a region index over 32 bits, more than `most_entries` entries. The count is not trusted.
Decoded try_decode_hpl1(std::string_view data,
                        uint64_t most_entries = std::numeric_limits<uint64_t>::max());
// The same; throws base::BadData "cannot use hot list 'NAME': PROBLEM".
std::vector<HotPage> decode_hpl1(std::string_view data, std::string_view name,
                                 uint64_t most_entries = std::numeric_limits<uint64_t>::max());

// Why a list cannot belong to a memory file of `memory_bytes`, whatever its regions are: the first
// entry outside of the file, or not at a multiple of 4096. Empty if it can.
std::string bounds_problem(std::span<const HotPage> pages, uint64_t memory_bytes);

}  // namespace hot
