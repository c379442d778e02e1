// SPDX-License-Identifier: Apache-2.0
// Fuzzes the reader of hot lists, HPL1 and HPL2: an HPL1 list that it accepts is written again with
// the same bytes, an HPL2 list with the same meaning, and entries are inside of the memory.
#include <algorithm>
#include <string>

#include "base/crc32.h"
#include "base/little_endian.h"
#include "hot/hot_list.h"
#include "hot/list_sets.h"
#include "tests/fuzz/fuzz.h"

namespace {

// An input with the magic of HPL2 gets its length and checksum, which no mutation would find.
std::string with_checksum(std::string_view text) {
  constexpr size_t kSmallest = 16;
  std::string data(text);
  if (!data.starts_with("HPL2") || data.size() < kSmallest) {
    return data;
  }
  std::string size;
  base::append_little_endian(size, data.size(), 8);
  data.replace(4, 8, size);
  data.resize(data.size() - 4);
  base::append_little_endian(data, base::crc32(data), 4);
  return data;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string sealed = with_checksum(fuzz::text_of(data, size));
  const std::string_view text = sealed;
  const hot::Decoded decoded = hot::try_decode_hot_list(text);
  FUZZ_REQUIRE(decoded.problem.empty() || decoded.list.runs.empty());
  FUZZ_REQUIRE(fuzz::accepts([&] { hot::parse_hot_list(text, "x"); }) == decoded.problem.empty());
  if (!decoded.problem.empty()) {
    return 0;
  }
  const hot::HotList& list = decoded.list;
  const uint64_t pages = hot::count_pages(list.runs);
  if (list.format == hot::ListFormat::hpl1) {
    FUZZ_REQUIRE(hot::encode_hot_list(list, hot::ListFormat::hpl1) == text);
    FUZZ_REQUIRE(text.size() <= hot::largest_hot_list(pages));
  } else if (pages <= 100'000) {
    const hot::Decoded again =
        hot::try_decode_hot_list(hot::encode_hot_list(list, hot::ListFormat::hpl2));
    FUZZ_REQUIRE(again.problem.empty() && again.list.phases == list.phases);
    FUZZ_REQUIRE(hot::expand(again.list.runs, list.page_size) ==
                 hot::expand(list.runs, list.page_size));
    FUZZ_REQUIRE(hot::stat_list(list).distinct == pages);
    hot::check_hot_list(list, list.regions, "x");
  }
  constexpr uint64_t kMemory = uint64_t{1} << 20U;
  if (hot::bounds_problem(list.runs, kMemory).empty()) {
    FUZZ_REQUIRE(std::ranges::all_of(list.runs,
                                     [&](const hot::HotRun& run) { return run.offset < kMemory; }));
  }
  if (pages > 0) {
    FUZZ_REQUIRE(!hot::try_decode_hot_list(text, pages - 1).problem.empty());
  }
  return 0;
}
