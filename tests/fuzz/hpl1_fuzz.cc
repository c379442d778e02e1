// SPDX-License-Identifier: Apache-2.0
// Fuzzes the reader of hot lists: a list that it accepts is written again with the same bytes, and
// its entries are inside of the memory.
#include <algorithm>

#include "hot/hot_list.h"
#include "hot/hpl1.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  const hot::Decoded decoded = hot::try_decode_hot_list(text);
  FUZZ_REQUIRE(decoded.problem.empty() || decoded.pages.empty());
  FUZZ_REQUIRE(fuzz::accepts([&] { hot::decode_hot_list(text, "x"); }) == decoded.problem.empty());
  if (!decoded.problem.empty()) {
    return 0;
  }
  FUZZ_REQUIRE(hot::encode_hpl1(decoded.pages) == text);
  FUZZ_REQUIRE(text.size() <= hot::largest_hot_list(decoded.pages.size()));
  constexpr uint64_t kMemory = uint64_t{1} << 20U;
  if (hot::bounds_problem(decoded.pages, kMemory).empty()) {
    FUZZ_REQUIRE(std::ranges::all_of(
        decoded.pages, [&](const hot::HotPage& page) { return page.offset < kMemory; }));
  }
  if (!decoded.pages.empty()) {
    FUZZ_REQUIRE(!hot::try_decode_hot_list(text, decoded.pages.size() - 1).problem.empty());
  }
  return 0;
}
