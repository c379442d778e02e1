// SPDX-License-Identifier: Apache-2.0
// Fuzzes the reader of traces: every page that it accepts lies in a region, and makes a hot list.
#include <set>

#include "hot/hot_list.h"
#include "hot/hpl1.h"
#include "hot/trace.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  fuzz::accepts([&] {
    const hot::Trace trace = hot::parse_trace(text, "x");
    const std::vector<hot::HotPage> hot = hot::hot_pages_of(trace);
    FUZZ_REQUIRE(hot.size() == std::set<uint64_t>(trace.pages.begin(), trace.pages.end()).size());
    FUZZ_REQUIRE(hot::try_decode_hot_list(hot::encode_hpl1(hot)).pages == hot);
    if (!trace.regions.empty()) {
      hot::check_hot_list(hot, trace.regions, "x");
      FUZZ_REQUIRE(!hot::file_layout_problem(trace.regions, trace.memory_bytes));
    }
  });
  return 0;
}
