// SPDX-License-Identifier: Apache-2.0
// HPL1, the file format of hot lists. This is its only reader and writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hot {

// One page: the index of its region in the handshake, and its byte offset in that region. The
// offset is a multiple of the region's page size.
struct HotPage {
  uint32_t region = 0;
  uint64_t offset = 0;
  bool operator==(const HotPage&) const = default;
};

// The largest list that is read from a file. It holds more entries than a 256 GiB guest has hot
// pages.
inline constexpr size_t kMaxHotListBytes = size_t{256} << 20U;
// Size in bytes of the largest list with `entries` entries, at most kMaxHotListBytes.
size_t largest_hpl1(uint64_t entries);

// The format is hypeman's, byte for byte: "HPL1", an unsigned LEB128 count, then for each entry the
// region index and the byte offset, both unsigned LEB128. Nothing follows. Entries keep their
// order.
std::string encode_hpl1(std::span<const HotPage> pages);

struct Decoded {
  std::vector<HotPage> pages;
  std::string problem;  // empty if the list is well formed; else `pages` is empty
};
// Rejects a wrong magic, a truncated list, a number that has redundant bytes or more than 64 bits,
// trailing bytes, a region index over 32 bits, and more than `most_entries` entries. The count is
// not trusted: it allocates no more than the bytes that follow it can fill.
Decoded try_decode_hpl1(std::string_view data,
                        uint64_t most_entries = std::numeric_limits<uint64_t>::max());
// As try_decode_hpl1, but throws base::BadData "cannot use hot list 'NAME': PROBLEM".
std::vector<HotPage> decode_hpl1(std::string_view data, std::string_view name,
                                 uint64_t most_entries = std::numeric_limits<uint64_t>::max());

// Describes the first entry that cannot belong to a memory file of `memory_bytes` with any regions:
// it lies outside of the file, or is not a multiple of 4096. Empty if there is no such entry.
std::string bounds_problem(std::span<const HotPage> pages, uint64_t memory_bytes);

}  // namespace hot
