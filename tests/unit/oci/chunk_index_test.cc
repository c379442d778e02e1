// SPDX-License-Identifier: Apache-2.0
// The index blob: what it accepts, and what it refuses by name.
#include "oci/chunk_index.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace oci {
namespace {

constexpr uint64_t kFileBytes = 10 * kChunkBytes + 100;

ChunkRecord record(uint64_t number, uint64_t offset, uint32_t length = 100) {
  ChunkRecord chunk;
  chunk.number = number;
  chunk.offset = offset;
  chunk.length = length;
  chunk.raw = number == 10 ? 100 : kChunkBytes;
  chunk.digest = sha256(std::to_string(number));
  return chunk;
}

ChunkIndex some_index() {
  return {.files = 1, .packs = 1, .chunks = {record(0, 0), record(3, 100), record(10, 200)}};
}

std::string refusal(const std::function<void()>& call) {
  try {
    call();
    return "";
  } catch (const base::BadData& error) {
    return error.what();
  }
}

// The reason for which an index is refused; empty if it is accepted.
std::string problem(const ChunkIndex& index, uint64_t file_bytes = kFileBytes,
                    uint64_t pack_bytes = 300) {
  return refusal([&] {
    const std::vector<uint64_t> files(index.files, file_bytes);
    const std::vector<uint64_t> packs(index.packs, pack_bytes);
    check_index(decode_index(encode_index(index), "x"), files, packs, "x");
  });
}

TEST(ChunkIndexTest, IsDecodedToTheSameRecords) {
  const ChunkIndex index = some_index();
  const ChunkIndex decoded = decode_index(encode_index(index), "x");
  EXPECT_EQ(decoded.chunks, index.chunks);
  EXPECT_EQ(decoded.files, 1U);
  EXPECT_EQ(decoded.packs, 1U);
  EXPECT_EQ(problem(index), "");
}

TEST(ChunkIndexTest, RefusesBlobsThatAreCutOrLonger) {
  const std::string blob = encode_index(some_index());
  for (size_t size = 0; size < blob.size(); ++size) {
    EXPECT_NE(refusal([&] { decode_index(blob.substr(0, size), "x"); }), "") << size;
  }
  EXPECT_NE(refusal([&] { decode_index(blob + "x", "x"); }), "");
}

TEST(ChunkIndexTest, RefusesACountThatWouldOverflow) {
  std::string blob = encode_index(some_index());
  blob.replace(24, 8, "\0\0\0\0\0\0\0\x04", 8);  // 2^58 records of 64 bytes: 0 bytes modulo 2^64
  EXPECT_NE(refusal([&] { decode_index(blob, "x"); }), "");
}

TEST(ChunkIndexTest, RefusesChunksOutOfOrderOrTwice) {
  ChunkIndex index = some_index();
  std::swap(index.chunks[0], index.chunks[1]);
  EXPECT_NE(problem(index).find("is not after the one before it"), std::string::npos);
  index = some_index();
  index.chunks[1] = index.chunks[0];
  EXPECT_NE(problem(index).find("is not after the one before it"), std::string::npos);
}

TEST(ChunkIndexTest, RefusesAChunkBeyondTheEndOfItsFile) {
  EXPECT_NE(problem(some_index(), 10 * kChunkBytes).find("but its file has"), std::string::npos);
  EXPECT_NE(problem(some_index(), 10 * kChunkBytes + 99).find("are needed there"),
            std::string::npos);
}

TEST(ChunkIndexTest, RefusesAChunkOfTheWrongLength) {
  ChunkIndex index = some_index();
  index.chunks[0].raw = 4096;
  EXPECT_NE(problem(index).find("262144 are needed there"), std::string::npos);
  index.chunks[0].raw = kChunkBytes + 1;
  EXPECT_NE(problem(index).find("has 262145 bytes"), std::string::npos);
}

TEST(ChunkIndexTest, RefusesAFrameBeyondTheEndOfItsPack) {
  EXPECT_NE(problem(some_index(), kFileBytes, 299).find("ends at 300 of a pack of 299"),
            std::string::npos);
  ChunkIndex index = some_index();
  index.chunks[0].offset = UINT64_MAX - 50;
  EXPECT_NE(problem(index).find("too large"), std::string::npos);
}

TEST(ChunkIndexTest, RefusesFramesThatOverlap) {
  ChunkIndex index = some_index();
  index.chunks[1].offset = 50;
  EXPECT_NE(problem(index).find("overlap"), std::string::npos);
}

TEST(ChunkIndexTest, AcceptsOneFrameForEqualChunksOnly) {
  ChunkIndex index = some_index();
  index.chunks[1] = record(3, 0);
  EXPECT_NE(problem(index).find("two meanings"), std::string::npos);
  index.chunks[1].digest = index.chunks[0].digest;
  EXPECT_EQ(problem(index), "");
}

TEST(ChunkIndexTest, RefusesFilesAndPacksThatDoNotExist) {
  ChunkIndex index = some_index();
  index.chunks[2].file = 1;
  EXPECT_NE(problem(index).find("belongs to file 1 of 1"), std::string::npos);
  index = some_index();
  index.chunks[2].pack = 7;
  EXPECT_NE(problem(index).find("is in pack 7 of 1"), std::string::npos);
}

}  // namespace
}  // namespace oci
