// SPDX-License-Identifier: Apache-2.0
// Encodes and decodes HPL1; every decoding failure names the byte where it occurred.
#include "hot/hpl1.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "hot/hot_list.h"
#include "hot/leb128.h"

namespace hot {

size_t largest_hpl1(uint64_t entries, size_t limit) {
  constexpr size_t kNumber = 10;  // bytes of the largest LEB128 number of 64 bits
  constexpr size_t kEntry = 5 + kNumber;
  return entries > limit / kEntry ? limit
                                  : std::min(limit, kHpl1Magic.size() + kNumber + entries * kEntry);
}

std::string encode_hpl1(std::span<const HotRun> runs, uint64_t page_size) {
  return encode_hpl1(expand(runs, page_size));
}

std::string encode_hpl1(std::span<const HotPage> pages) {
  std::string out(kHpl1Magic);
  append_leb128(out, pages.size());
  for (const HotPage& page : pages) {
    append_leb128(out, page.region);
    append_leb128(out, page.offset);
  }
  return out;
}

std::vector<HotRun> read_hpl1(std::string_view data, uint64_t most_entries) {
  LebReader reader(data, kHpl1Magic.size());
  const uint64_t count = reader.number("the count");
  constexpr size_t kSmallestEntry = 2;
  if (count > reader.left() / kSmallestEntry) {
    reader.fail("only " + std::to_string(reader.left()) + " bytes follow for " +
                std::to_string(count) + " entries");
  }
  if (count > most_entries) {
    throw base::BadData("the list has " + std::to_string(count) + " entries, more than " +
                        std::to_string(most_entries) + " pages");
  }
  std::vector<HotRun> runs;
  runs.reserve(count);  // checked above: the bytes for them exist
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t region = reader.number("a region");
    if (region > std::numeric_limits<uint32_t>::max()) {
      reader.fail("region index out of range: " + std::to_string(region));
    }
    const uint64_t offset = reader.number("an offset");
    runs.push_back({.region = static_cast<uint32_t>(region), .offset = offset});
  }
  if (reader.left() != 0) {
    reader.fail(std::to_string(reader.left()) + " bytes follow the last entry");
  }
  return runs;
}

}  // namespace hot
