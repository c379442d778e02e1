// SPDX-License-Identifier: Apache-2.0
// Fuzzes the reader of chunk indexes: an index that it accepts is written again with the same
// bytes, and every chunk is inside of its file and its pack.
#include <algorithm>
#include <vector>

#include "oci/chunk_index.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t kFile = 40 * oci::kChunkBytes + 4096;
  constexpr uint64_t kPack = 1 << 20;
  const std::string_view text = fuzz::text_of(data, size);
  oci::ChunkIndex index;
  if (!fuzz::accepts([&] { index = oci::decode_index(text, "x"); })) {
    return 0;
  }
  FUZZ_REQUIRE(oci::encode_index(index) == text);
  std::vector<uint32_t> order;
  const std::vector<uint64_t> files(index.files, kFile);
  const std::vector<uint64_t> packs(index.packs, kPack);
  if (!fuzz::accepts([&] { order = oci::check_index(index, files, packs, "x"); })) {
    return 0;
  }
  FUZZ_REQUIRE(order.size() == index.chunks.size());
  for (size_t i = 0; i < order.size(); ++i) {
    const oci::ChunkRecord& chunk = index.chunks[order[i]];
    FUZZ_REQUIRE(chunk.number * oci::kChunkBytes + chunk.raw <= kFile);
    FUZZ_REQUIRE(chunk.offset + chunk.length <= kPack);
    if (i > 0) {
      const oci::ChunkRecord& before = index.chunks[order[i - 1]];
      FUZZ_REQUIRE(before.pack < chunk.pack || before.offset + before.length <= chunk.offset ||
                   (before.offset == chunk.offset && before.digest == chunk.digest));
    }
  }
  return 0;
}
