// SPDX-License-Identifier: Apache-2.0
// Encodes, decodes and checks the index blob.
#include "oci/chunk_index.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "base/error.h"
#include "base/little_endian.h"
#include "oci/frame.h"

namespace oci {
namespace {

constexpr std::string_view kMagic = "SFCHUNK1";

[[noreturn]] void refuse(std::string_view name, const std::string& reason) {
  throw base::BadData("cannot read " + base::quoted(name) + ": " + reason);
}

// Takes numbers from the front of a string that is long enough.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  std::string_view take(size_t count) {
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }
  uint32_t u32() { return static_cast<uint32_t>(base::read_little_endian(take(4))); }
  uint64_t u64() { return base::read_little_endian(take(8)); }

 private:
  std::string_view bytes_;
};

ChunkRecord read_record(Reader& reader) {
  ChunkRecord record;
  record.number = reader.u64();
  record.offset = reader.u64();
  record.file = reader.u32();
  record.pack = reader.u32();
  record.length = reader.u32();
  record.raw = reader.u32();
  const std::string_view digest = reader.take(record.digest.bytes.size());
  std::ranges::copy(digest, record.digest.bytes.begin());
  return record;
}

std::string name_of(size_t position) {
  return "chunk " + std::to_string(position);
}

// Returns what is wrong with a record by itself; empty if nothing is.
std::string problem_of(const ChunkRecord& record, const ChunkIndex& index) {
  if (record.file >= index.files) {
    return "belongs to file " + std::to_string(record.file) + " of " + std::to_string(index.files);
  }
  if (record.pack >= index.packs) {
    return "is in pack " + std::to_string(record.pack) + " of " + std::to_string(index.packs);
  }
  if (record.number >= kMostFileBytes / kChunkBytes) {
    return "has the number " + std::to_string(record.number) + ", which is too large";
  }
  if (record.raw == 0 || record.raw > kChunkBytes) {
    return "has " + std::to_string(record.raw) + " bytes";
  }
  if (record.length == 0 || record.length > kMostFrameBytes) {
    return "has a frame of " + std::to_string(record.length) + " bytes";
  }
  if (record.offset > kMostFileBytes) {
    return "has the offset " + std::to_string(record.offset) + ", which is too large";
  }
  return "";
}

}  // namespace

std::string encode_index(const ChunkIndex& index) {
  std::string blob(kMagic);
  blob.reserve(kIndexHeaderBytes + index.chunks.size() * kIndexRecordBytes);
  base::append_little_endian(blob, kChunkBytes, 4);
  base::append_little_endian(blob, index.files, 4);
  base::append_little_endian(blob, index.packs, 4);
  base::append_little_endian(blob, 0, 4);
  base::append_little_endian(blob, index.chunks.size(), 8);
  for (const ChunkRecord& record : index.chunks) {
    base::append_little_endian(blob, record.number, 8);
    base::append_little_endian(blob, record.offset, 8);
    base::append_little_endian(blob, record.file, 4);
    base::append_little_endian(blob, record.pack, 4);
    base::append_little_endian(blob, record.length, 4);
    base::append_little_endian(blob, record.raw, 4);
    blob.append(record.digest.bytes.begin(), record.digest.bytes.end());
  }
  return blob;
}

ChunkIndex decode_index(std::string_view blob, std::string_view name) {
  if (blob.size() < kIndexHeaderBytes || !blob.starts_with(kMagic)) {
    refuse(name, "it is not an index of chunks");
  }
  Reader reader(blob);
  reader.take(kMagic.size());
  if (const uint32_t bytes = reader.u32(); bytes != kChunkBytes) {
    refuse(name, "its chunks have " + std::to_string(bytes) + " bytes, not " +
                     std::to_string(kChunkBytes));
  }
  ChunkIndex index;
  index.files = reader.u32();
  index.packs = reader.u32();
  const uint32_t reserved = reader.u32();
  const uint64_t count = reader.u64();
  if (reserved != 0 || index.files > kMostFiles || index.packs > kMostPacks) {
    refuse(name, "its header has " + std::to_string(index.files) + " files and " +
                     std::to_string(index.packs) + " packs; at most " + std::to_string(kMostFiles) +
                     " and " + std::to_string(kMostPacks) + " are possible");
  }
  if (count > kMostChunks || blob.size() != kIndexHeaderBytes + count * kIndexRecordBytes) {
    refuse(name, "its header has " + std::to_string(count) + " chunks, which do not fit its " +
                     std::to_string(blob.size()) + " bytes");
  }
  index.chunks.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    const ChunkRecord record = read_record(reader);
    if (const std::string problem = problem_of(record, index); !problem.empty()) {
      refuse(name, name_of(i) + " " + problem);
    }
    if (i > 0 && std::tie(record.file, record.number) <=
                     std::tie(index.chunks.back().file, index.chunks.back().number)) {
      refuse(name, name_of(i) + " is not after the one before it");
    }
    index.chunks.push_back(record);
  }
  return index;
}

std::vector<uint32_t> check_index(const ChunkIndex& index, std::span<const uint64_t> file_bytes,
                                  std::span<const uint64_t> pack_bytes, std::string_view name) {
  const std::vector<ChunkRecord>& chunks = index.chunks;
  if (index.files != file_bytes.size() || index.packs != pack_bytes.size()) {
    refuse(name, "it is for " + std::to_string(index.files) + " files and " +
                     std::to_string(index.packs) + " packs, but the template has " +
                     std::to_string(file_bytes.size()) + " and " +
                     std::to_string(pack_bytes.size()));
  }
  for (size_t i = 0; i < chunks.size(); ++i) {
    const uint64_t begin = chunks[i].number * kChunkBytes;
    const uint64_t end = file_bytes[chunks[i].file];
    if (begin >= end) {
      refuse(name, name_of(i) + " begins at " + std::to_string(begin) + ", but its file has " +
                       std::to_string(end) + " bytes");
    }
    if (chunks[i].raw != std::min(kChunkBytes, end - begin)) {
      refuse(name, name_of(i) + " has " + std::to_string(chunks[i].raw) + " bytes; " +
                       std::to_string(std::min(kChunkBytes, end - begin)) + " are needed there");
    }
    if (chunks[i].offset + chunks[i].length > pack_bytes[chunks[i].pack]) {
      refuse(name, name_of(i) + " ends at " + std::to_string(chunks[i].offset + chunks[i].length) +
                       " of a pack of " + std::to_string(pack_bytes[chunks[i].pack]) + " bytes");
    }
  }
  std::vector<uint32_t> order(chunks.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::sort(order, [&](uint32_t a, uint32_t b) {
    return std::tie(chunks[a].pack, chunks[a].offset, a) <
           std::tie(chunks[b].pack, chunks[b].offset, b);
  });
  for (size_t i = 1; i < order.size(); ++i) {
    const ChunkRecord& before = chunks[order[i - 1]];
    const ChunkRecord& next = chunks[order[i]];
    if (next.pack != before.pack || next.offset >= before.offset + before.length) {
      continue;
    }
    const bool is_same = next.offset == before.offset && next.length == before.length &&
                         next.raw == before.raw && next.digest == before.digest;
    if (!is_same) {
      refuse(name, "the frames of " + name_of(order[i - 1]) + " and " + name_of(order[i]) +
                       " overlap, or are one frame with two meanings");
    }
  }
  return order;
}

}  // namespace oci
