// SPDX-License-Identifier: Apache-2.0
// Fuzzes the reader of vmstates and the change of their paths: each string that is found is in the
// file at the reported offset.
#include <algorithm>
#include <string>
#include <vector>

#include "meta/vmstate/crc64.h"
#include "meta/vmstate/rewrite_paths.h"
#include "meta/vmstate/vmstate.h"
#include "tests/fuzz/fuzz.h"

namespace vmstate = meta::vmstate;

namespace {

void check_text(std::string_view bytes, const vmstate::EmbeddedText& text) {
  FUZZ_REQUIRE(text.offset <= bytes.size() && text.text.size() <= bytes.size() - text.offset);
  FUZZ_REQUIRE(bytes.substr(text.offset, text.text.size()) == text.text);
}

// Returns the bytes with a correct checksum, which mutations almost never have.
std::string with_crc(std::string_view bytes) {
  constexpr size_t kCrcBytes = 8;
  std::string whole(bytes.substr(0, bytes.size() - kCrcBytes));
  const uint64_t crc = vmstate::crc64(whole);
  for (size_t i = 0; i < kCrcBytes; ++i) {
    whole += static_cast<char>(crc >> (8 * i) & 0xffU);
  }
  return whole;
}

// Gives each path that loading opens another length. The number of paths stays, and the CRC is
// right.
void check_rewriting(std::string_view bytes, const vmstate::VmState& state) {
  std::vector<vmstate::PathChange> changes;
  for (const vmstate::EmbeddedText& path : state.paths) {
    if (!path.text.empty()) {
      const size_t length = path.text.size() * 37 % 300 + 1;
      changes.push_back({.from = path.text, .to = "/" + std::string(length, 'n')});
    }
  }
  if (changes.empty()) {
    return;
  }
  const std::string rewritten = vmstate::rewrite_paths(with_crc(bytes), "fuzzed", changes).bytes;
  vmstate::VmState again = vmstate::parse_vmstate(rewritten, "rewritten");
  vmstate::read_devices(rewritten, again);
  FUZZ_REQUIRE(again.crc_ok && again.paths_problem.empty());
  FUZZ_REQUIRE(again.paths.size() == state.paths.size());
  FUZZ_REQUIRE(again.taps.size() == state.taps.size());
}

void check(std::string_view bytes) {
  vmstate::VmState state = vmstate::parse_vmstate(bytes, "fuzzed");
  FUZZ_REQUIRE(state.mem_size_mib > 0);
  FUZZ_REQUIRE(!state.snapshot_version.empty());
  FUZZ_REQUIRE(bytes.find(state.kernel_path) != std::string_view::npos);
  vmstate::read_devices(bytes, state);
  FUZZ_REQUIRE(state.paths_problem.empty() || (state.paths.empty() && state.taps.empty()));
  FUZZ_REQUIRE(std::ranges::is_sorted(state.paths, {}, &vmstate::EmbeddedText::offset));
  for (const vmstate::EmbeddedText& path : state.paths) {
    check_text(bytes, path);
  }
  for (const vmstate::EmbeddedText& tap : state.taps) {
    check_text(bytes, tap);
  }
  check_rewriting(bytes, state);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::accepts([&] { check(fuzz::text_of(data, size)); });
  return 0;
}
