// SPDX-License-Identifier: Apache-2.0
// Fuzzes the reader of packed hot lists: what it accepts has lengths that fit the file, and is
// written again with the same bytes.
#include <algorithm>
#include <string>

#include "base/crc32.h"
#include "base/little_endian.h"
#include "hot/packed.h"
#include "tests/fuzz/fuzz.h"

namespace {

// Gives an input the lengths and the checksum that no mutation would find. The file has as many
// bytes as its own field says.
std::string with_checksum(std::string_view text, uint64_t& file_bytes) {
  std::string map(text);
  file_bytes = map.size();
  if (!map.starts_with(hot::kPackedMagic) || map.size() < hot::kPackedHeadBytes) {
    return map;
  }
  const auto field = [&](size_t at) { return base::read_little_endian(map.substr(at, 8)); };
  file_bytes = field(8);
  const uint64_t data_at = field(16);
  constexpr uint64_t kMost = uint64_t{64} << 10U;
  if (data_at > kMost || data_at < hot::kPackedHeadBytes) {
    return map;
  }
  map.resize(data_at, '\0');
  const hot::Decoded list = hot::try_decode_hot_list(
      std::string_view(map).substr(std::min<size_t>(hot::kPackedHeadBytes, map.size()), field(40)));
  const uint64_t piece = base::read_little_endian(map.substr(4, 4));
  if (!list.problem.empty() || piece == 0) {
    return map;
  }
  const uint64_t pieces =
      hot::packed_pieces(hot::count_pages(list.list.runs), static_cast<uint32_t>(piece));
  const uint64_t crc_at = hot::kPackedHeadBytes + field(40) + pieces * 4;
  if (pieces < kMost && crc_at + 4 <= map.size()) {
    std::string crc;
    base::append_little_endian(crc, base::crc32(map.substr(0, crc_at)), 4);
    map.replace(crc_at, 4, crc);
  }
  return map;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  uint64_t file_bytes = 0;
  const std::string map = with_checksum(fuzz::text_of(data, size), file_bytes);
  hot::PackedMap found;
  if (!fuzz::accepts([&] { found = hot::parse_packed_map(map, file_bytes, UINT64_MAX); })) {
    return 0;
  }
  FUZZ_REQUIRE(found.data_at == map.size());
  FUZZ_REQUIRE(found.data_at + found.pages * found.list.page_size == file_bytes);
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < found.checksums.size(); ++i) {
    FUZZ_REQUIRE(found.piece_at(i) == found.data_at + bytes);
    FUZZ_REQUIRE(found.piece_bytes(i) > 0 && found.piece_bytes(i) <= hot::kMostPackedPieceBytes);
    bytes += found.piece_bytes(i);
  }
  FUZZ_REQUIRE(found.data_at + bytes == file_bytes);
  hot::check_hot_list(found.list, found.list.regions, "x");
  FUZZ_REQUIRE(fuzz::accepts([&] {
    const std::string again = hot::encode_packed_map(found);
    FUZZ_REQUIRE(hot::parse_packed_map(again, again.size() + bytes, UINT64_MAX).list == found.list);
  }));
  return 0;
}
