// SPDX-License-Identifier: Apache-2.0
// Fuzzes the reader of template/image.json: the runs are inside of the image, and a record that is
// written and read again is the same.
#include "meta/image/image_record.h"
#include "tests/fuzz/fuzz.h"

namespace {

void check(std::string_view text) {
  const meta::ImageRecord record = meta::parse_image_record(text, "fuzzed");
  uint64_t end = 0;
  for (const meta::ZeroRun& run : record.zero_runs) {
    FUZZ_REQUIRE(run.count > 0 && run.first >= end && run.first + run.count > run.first);
    end = run.first + run.count;
  }
  FUZZ_REQUIRE(end <= record.memory_bytes / hot::kSmallPage + 1);
  const std::string written = meta::to_json(record);
  const meta::ImageRecord again = meta::parse_image_record(written, "written");
  FUZZ_REQUIRE(meta::to_json(again) == written);
  FUZZ_REQUIRE(again.digest == record.digest && again.zero_runs == record.zero_runs);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::accepts([&] { check(fuzz::text_of(data, size)); });
  return 0;
}
