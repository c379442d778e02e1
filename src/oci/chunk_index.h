// SPDX-License-Identifier: Apache-2.0
// The index blob: where the bytes of each chunk are.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "oci/digest.h"
#include "oci/format.h"

namespace oci {

// A chunk of a file that has a byte other than zero. All other chunks are left out.
struct ChunkRecord {
  uint64_t number = 0;  // the chunk begins at number * kChunkBytes of the file
  uint64_t offset = 0;  // of its zstd frame in the pack
  uint32_t file = 0;    // in the list of files of the description
  uint32_t pack = 0;    // in the layers of the manifest, the first pack is 0
  uint32_t length = 0;  // of its zstd frame
  uint32_t raw = 0;     // length of the chunk; less than kChunkBytes only at the end of a file
  Digest digest;        // of the raw bytes

  bool operator==(const ChunkRecord&) const = default;
};

struct ChunkIndex {
  uint32_t files = 0;
  uint32_t packs = 0;
  std::vector<ChunkRecord> chunks;  // ascending by file, then by number
};

inline constexpr uint64_t kIndexHeaderBytes = 32;
inline constexpr uint64_t kIndexRecordBytes = 64;
inline constexpr uint64_t kMostIndexBytes = kIndexHeaderBytes + kMostChunks * kIndexRecordBytes;

std::string encode_index(const ChunkIndex& index);

// Throws base::BadData "cannot read 'NAME': REASON" unless `blob` is an index whose records are in
// order, each inside of its limits. decode_index(encode_index(x)) is x, and every accepted blob is
// encoded again to the same bytes.
ChunkIndex decode_index(std::string_view blob, std::string_view name);

// Checks an index against the sizes of the files of the description, and of the packs of the
// manifest. Returns the positions of its chunks in the order of their frames: by pack, then by
// offset. Throws base::BadData if a chunk lies beyond the end of its file, has another length than
// its place in the file requires, or lies beyond the end of its pack; if two frames overlap; and if
// one frame is two different chunks.
std::vector<uint32_t> check_index(const ChunkIndex& index, std::span<const uint64_t> file_bytes,
                                  std::span<const uint64_t> pack_bytes, std::string_view name);

}  // namespace oci
