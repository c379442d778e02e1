// SPDX-License-Identifier: Apache-2.0
// Fuzzes the reader of handshakes: the result does not depend on the sizes of the pieces, accepted
// regions are inside of the file, and no two of them share a byte.
#include <algorithm>
#include <optional>
#include <vector>

#include "pager/protocol/handshake.h"
#include "tests/fuzz/fuzz.h"

namespace {

using hot::Region;

constexpr uint64_t kUserEnd = uint64_t{1} << 56U;
constexpr uint64_t kFileSize = uint64_t{16} << 30U;

std::optional<std::vector<Region>> parse(std::string_view text) {
  std::optional<std::vector<Region>> regions;
  fuzz::accepts([&] { regions = pager::parse_handshake(text); });
  return regions;
}

void check_layout(const std::vector<Region>& regions) {
  if (hot::layout_problem(regions, kFileSize)) {
    return;
  }
  FUZZ_REQUIRE(!regions.empty());
  for (size_t i = 0; i < regions.size(); ++i) {
    const Region& a = regions[i];
    FUZZ_REQUIRE(a.size > 0 && a.offset < kFileSize && a.size <= kFileSize - a.offset);
    FUZZ_REQUIRE(a.end() > a.base);
    FUZZ_REQUIRE(a.base % a.page_size == 0 && a.size % a.page_size == 0);
    for (size_t k = 0; k < i; ++k) {
      const Region& b = regions[k];
      FUZZ_REQUIRE(a.end() <= b.base || b.end() <= a.base);
      FUZZ_REQUIRE(a.offset + a.size <= b.offset || b.offset + b.size <= a.offset);
    }
  }
  // Addresses of user space, as a VMM would send them.
  if (std::ranges::all_of(regions, [](const Region& region) { return region.base < kUserEnd; })) {
    FUZZ_REQUIRE(regions == parse(pager::compose_handshake(regions)));
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::string_view text = fuzz::text_of(data + 1, size - 1);
  const size_t cut = data[0] % size;
  pager::JsonCollector whole;
  whole.add(text);
  pager::JsonCollector pieces;
  pieces.add(text.substr(0, cut));
  pieces.add(text.substr(cut));
  FUZZ_REQUIRE(whole.text() == pieces.text());
  FUZZ_REQUIRE(whole.is_whole() == pieces.is_whole());
  const auto regions = parse(text);
  FUZZ_REQUIRE(regions == parse(whole.text()));
  if (!regions) {
    return 0;
  }
  FUZZ_REQUIRE(whole.is_whole());
  check_layout(*regions);
  return 0;
}
