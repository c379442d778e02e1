// SPDX-License-Identifier: Apache-2.0
// Fuzzes the readers of the JSON documents of a layout: each accepts or refuses, and what the
// description accepts is written again with the same meaning.
#include "oci/description.h"
#include "oci/manifest.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  fuzz::accepts([&] { oci::check_layout_file(text, "x"); });
  fuzz::accepts([&] {
    const std::string again = oci::encode_entries(oci::parse_entries(text, "x"));
    FUZZ_REQUIRE(oci::encode_entries(oci::parse_entries(again, "x")) == again);
  });
  fuzz::accepts([&] {
    const std::string again = oci::encode_manifest(oci::parse_manifest(text, "x"), {});
    FUZZ_REQUIRE(oci::encode_manifest(oci::parse_manifest(again, "x"), {}) == again);
  });
  fuzz::accepts([&] {
    const std::string again = oci::encode_description(oci::parse_description(text, "x"));
    FUZZ_REQUIRE(oci::encode_description(oci::parse_description(again, "x")) == again);
  });
  return 0;
}
