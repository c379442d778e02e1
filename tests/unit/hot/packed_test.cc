// SPDX-License-Identifier: Apache-2.0
// Tests the packed format: its vector, and every damage.
#include "hot/packed.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/crc32.h"
#include "base/error.h"
#include "base/hex.h"
#include "base/little_endian.h"

namespace hot {
namespace {

constexpr uint64_t kNoLimit = UINT64_MAX;

// The example of docs/packed-list.md: pages 5, 6 and 1 of a memory file of 8 pages, which are
// filled with 'f', 'g' and 'b', in pieces of two pages.
struct Example {
  PackedMap map{.list = {.format = ListFormat::hpl2,
                         .runs = {{.region = 0, .count = 2, .offset = 5 * kSmallPage},
                                  {.region = 0, .count = 1, .offset = kSmallPage}},
                         .regions = {{.base = 0, .size = 8 * kSmallPage, .offset = 0}},
                         .memory_bytes = 8 * kSmallPage},
                .inode = 7,
                .modified_ns = 9,
                .piece_pages = 2};
  std::string file;

  Example() {
    const std::string pages =
        std::string(kSmallPage, 'f') + std::string(kSmallPage, 'g') + std::string(kSmallPage, 'b');
    map.checksums = {base::crc32(pages.substr(0, 2 * kSmallPage)),
                     base::crc32(pages.substr(2 * kSmallPage))};
    file = encode_packed_map(map) + pages;
  }
};

// What is wrong with a file, in its map or in a piece; empty if it is whole.
std::string problem_of(const std::string& file, uint64_t most = kNoLimit) {
  try {
    const uint64_t bytes = packed_map_bytes(file.substr(0, kPackedHeadBytes), file.size());
    const PackedMap map = parse_packed_map(file.substr(0, bytes), file.size(), most);
    for (uint64_t i = 0; i < map.checksums.size(); ++i) {
      const std::string piece = file.substr(map.piece_at(i), map.piece_bytes(i));
      if (std::string why = piece_problem(map, i, std::as_bytes(std::span(piece))); !why.empty()) {
        return why;
      }
    }
    return "";
  } catch (const base::BadData& error) {
    return error.what();
  }
}

TEST(Packed, HasTheBytesOfTheExampleInTheSpecification) {
  std::string hex;
  const std::string file = Example().file;
  const size_t end = file.find_last_not_of('\0', kSmallPage - 1) + 1;
  for (const char byte : file.substr(0, end)) {
    hex += base::hex_text(static_cast<unsigned char>(byte), 2);
  }
  EXPECT_EQ(hex,
            "48505731020000000040000000000000001000000000000007000000000000000900000000000000"
            "280000000000000048504c322800000000000000010b802080800201008080020002090002020102"
            "01010a0b3263349976c793ab6bf6a6411df494a9");
  EXPECT_EQ(file.size(), 4 * kSmallPage);
}

TEST(Packed, ReadsWhatItWrites) {
  const Example example;
  const PackedMap found =
      parse_packed_map(example.file.substr(0, kSmallPage), example.file.size(), kNoLimit);
  EXPECT_EQ(found.list, example.map.list);
  EXPECT_EQ(found.inode, 7U);
  EXPECT_EQ(found.modified_ns, 9);
  EXPECT_EQ(found.pages, 3U);
  EXPECT_EQ(found.data_at, kSmallPage);
  EXPECT_EQ(found.piece_bytes(0), 2 * kSmallPage);
  EXPECT_EQ(found.piece_bytes(1), kSmallPage) << "the last piece is shorter";
  EXPECT_EQ(found.checksums, example.map.checksums);
  EXPECT_EQ(problem_of(example.file), "");
}

TEST(Packed, KeepsAListWithoutPages) {
  PackedMap map = Example().map;
  map.list.runs.clear();
  map.checksums.clear();
  EXPECT_EQ(problem_of(encode_packed_map(map)), "");
}

TEST(Packed, RefusesEveryTruncation) {
  const std::string file = Example().file;
  for (size_t length = 0; length < file.size(); ++length) {
    EXPECT_NE(problem_of(file.substr(0, length)), "") << length;
  }
  EXPECT_NE(problem_of(file + '\0').find("bytes follow the pages"), std::string::npos);
}

TEST(Packed, FindsAChangedBitInEveryByte) {
  const std::string file = Example().file;
  for (size_t at = 0; at < file.size(); ++at) {
    std::string changed = file;
    changed[at] = static_cast<char>(changed[at] ^ (1 << at % 8));
    EXPECT_NE(problem_of(changed), "") << at;
  }
}

// With a valid checksum of the map, only the fields themselves can be refused.
TEST(Packed, RefusesHostileFields) {
  const auto with = [](size_t at, uint64_t value, size_t width) {
    std::string file = Example().file;
    std::string field;
    base::append_little_endian(field, value, width);
    file.replace(at, width, field);
    const uint64_t list_bytes = base::read_little_endian(Example().file.substr(40, 8));
    const size_t crc_at = kPackedHeadBytes + list_bytes + 2 * sizeof(uint32_t);
    std::string crc;
    base::append_little_endian(crc, base::crc32(file.substr(0, crc_at)), sizeof(uint32_t));
    return problem_of(file.replace(crc_at, crc.size(), crc));
  };
  EXPECT_EQ(with(24, 8, 8), "") << "another inode number is well-formed";
  EXPECT_NE(with(4, 0, 4).find("a piece cannot have 0 pages"), std::string::npos);
  EXPECT_NE(with(4, UINT32_MAX, 4).find("a piece cannot have"), std::string::npos);
  EXPECT_NE(with(4, 1, 4), "") << "three pieces, and checksums of two";
  EXPECT_NE(with(8, UINT64_MAX, 8).find("truncated"), std::string::npos);
  EXPECT_NE(with(16, 0, 8).find("cannot begin at byte 0"), std::string::npos);
  EXPECT_NE(with(16, 8192, 8), "");
  EXPECT_NE(with(16, UINT64_MAX - 4095, 8).find("cannot begin"), std::string::npos);
  EXPECT_NE(with(40, UINT64_MAX, 8).find("does not fit into the map"), std::string::npos);
  EXPECT_NE(with(40, 0, 8).find("its list: the file is empty"), std::string::npos);
  EXPECT_NE(problem_of(Example().file, 2).find("more than 2 pages"), std::string::npos);
}

TEST(Packed, RefusesAListThatIsNotHpl2) {
  std::string file = Example().file;
  file.replace(kPackedHeadBytes, 5, std::string("HPL1\0", 5));
  std::string bytes;
  base::append_little_endian(bytes, 5, 8);
  file.replace(40, 8, bytes);
  EXPECT_NE(problem_of(file).find("its list is not HPL2"), std::string::npos);
}

}  // namespace
}  // namespace hot
