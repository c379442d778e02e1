// Fuzzes the reading of vmstates: whatever is found in one stands there.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "meta/vmstate.h"
#include "tests/fuzz/fuzz.h"

namespace {

void check_text(std::string_view bytes, const meta::EmbeddedText& text) {
  FUZZ_REQUIRE(text.offset <= bytes.size() && text.text.size() <= bytes.size() - text.offset);
  FUZZ_REQUIRE(bytes.substr(text.offset, text.text.size()) == text.text);
}

void check(std::string_view bytes) {
  meta::VmState state = meta::parse_vmstate(bytes, "fuzzed");
  FUZZ_REQUIRE(state.mem_size_mib > 0);
  FUZZ_REQUIRE(!state.snapshot_version.empty());
  FUZZ_REQUIRE(bytes.find(state.kernel_path) != std::string_view::npos);
  meta::read_devices(bytes, state);
  FUZZ_REQUIRE(state.paths_complete || (state.paths.empty() && state.taps.empty()));
  FUZZ_REQUIRE(std::ranges::is_sorted(state.paths, {}, &meta::EmbeddedText::offset));
  for (const meta::EmbeddedText& path : state.paths) {
    check_text(bytes, path);
  }
  for (const meta::EmbeddedText& tap : state.taps) {
    check_text(bytes, tap);
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::accepts([&] { check(fuzz::text_of(data, size)); });
  return 0;
}
