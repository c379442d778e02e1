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
    uint64_t listed = 0;
    for (const auto& [first, count] : trace.listed) {
      listed += count;
    }
    if (listed > 100'000) {
      return;  // takes too long
    }
    const hot::HotList list = hot::hot_list_of(trace);
    const std::vector<hot::HotPage> hot = hot::expand(list.runs, list.page_size);
    const size_t touched = std::set<uint64_t>(trace.pages.begin(), trace.pages.end()).size();
    FUZZ_REQUIRE(hot.size() >= touched && hot.size() <= touched + listed);
    FUZZ_REQUIRE(hot::decode_hot_list(hot::encode_hpl1(hot), "x") == hot);
    if (!trace.regions.empty()) {
      hot::check_hot_list(hot, trace.regions, "x");
      const std::string again = hot::encode_hot_list(list, hot::ListFormat::hpl2);
      FUZZ_REQUIRE(hot::decode_hot_list(again, "x") == hot);
      FUZZ_REQUIRE(!hot::file_layout_problem(trace.regions, trace.memory_bytes));
    }
  });
  return 0;
}
