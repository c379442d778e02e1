// SPDX-License-Identifier: Apache-2.0
// Reads the data of each file in batches of chunks, with several threads.
#include "oci/hash_chunks.h"

#include <algorithm>
#include <memory>
#include <thread>

#include "base/error.h"
#include "base/is_zero.h"
#include "base/parallel.h"
#include "file/next_data.h"

namespace oci {
namespace {

// Bounds the memory for candidates: a file of terabytes of written zeros has many.
constexpr size_t kBatch = 1 << 16;
constexpr int kMostJobs = 16;

// Hashes the chunks `numbers`. The result has a record for each; `raw` is 0 for zeros.
std::vector<ChunkRecord> hash_batch(const TemplateFiles& files, uint32_t file,
                                    const std::vector<uint64_t>& numbers, int jobs,
                                    cloning::Progress& progress) {
  std::vector<ChunkRecord> records(numbers.size());
  const uint64_t bytes = files.description().files[file].bytes;
  base::for_each_index(jobs, numbers.size(), [&]() -> base::Work {
    const auto buffer = std::make_shared<std::vector<std::byte>>(kChunkBytes);
    return [&, buffer](size_t i) {
      const std::span<const std::byte> chunk =
          read_chunk(files.fd(file), numbers[i], bytes, *buffer, files.path(file));
      if (!base::is_zero(chunk)) {
        records[i].number = numbers[i];
        records[i].file = file;
        records[i].raw = static_cast<uint32_t>(chunk.size());
        records[i].digest = sha256(chunk);
      }
      progress.add(static_cast<int64_t>(chunk.size()));
    };
  });
  return records;
}

// The bytes of the chunks from `from` up to `end` that are not in a list of `count` chunks.
int64_t hole_bytes(uint64_t from, uint64_t end, size_t count, uint64_t bytes) {
  return static_cast<int64_t>(std::min(end * kChunkBytes, bytes) - from * kChunkBytes) -
         static_cast<int64_t>(std::min(count * kChunkBytes, bytes));
}

}  // namespace

int jobs_here() {
  return static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 1U * kMostJobs));
}

std::span<const std::byte> read_chunk(int fd, uint64_t number, uint64_t bytes,
                                      std::span<std::byte> buffer, std::string_view name) {
  const uint64_t begin = number * kChunkBytes;
  const std::span<std::byte> chunk = buffer.first(std::min(kChunkBytes, bytes - begin));
  if (base::pread_full(fd, chunk, static_cast<off_t>(begin), name) != chunk.size()) {
    throw base::BadData("cannot read " + base::quoted(name) + ": it has become shorter");
  }
  return chunk;
}

std::vector<uint64_t> chunks_with_data(int fd, uint64_t bytes, uint64_t from, size_t most,
                                       std::string_view name) {
  std::vector<uint64_t> numbers;
  const auto end = static_cast<off_t>(bytes);
  auto at = static_cast<off_t>(from * kChunkBytes);
  while (numbers.size() < most) {
    const std::optional<file::ByteRange> range = file::next_data(fd, at, end, name);
    if (!range) {
      break;
    }
    const uint64_t first = static_cast<uint64_t>(range->begin) / kChunkBytes;
    const uint64_t last = static_cast<uint64_t>(range->end - 1) / kChunkBytes;
    for (uint64_t number = first; number <= last && numbers.size() < most; ++number) {
      numbers.push_back(number);
    }
    at = static_cast<off_t>((numbers.back() + 1) * kChunkBytes);
    if (at >= end) {
      break;
    }
  }
  return numbers;
}

std::vector<ChunkRecord> hash_chunks(const TemplateFiles& files, int jobs,
                                     cloning::Progress& progress) {
  std::vector<ChunkRecord> records;
  for (uint32_t file = 0; file < files.description().files.size(); ++file) {
    const uint64_t bytes = files.description().files[file].bytes;
    progress.begin(files.path(file), static_cast<int64_t>(bytes));
    uint64_t from = 0;
    while (from * kChunkBytes < bytes) {
      const std::vector<uint64_t> numbers =
          chunks_with_data(files.fd(file), bytes, from, kBatch, files.path(file));
      const uint64_t end =
          numbers.empty() ? (bytes + kChunkBytes - 1) / kChunkBytes : numbers.back() + 1;
      progress.add(hole_bytes(from, end, numbers.size(), bytes));
      for (const ChunkRecord& record : hash_batch(files, file, numbers, jobs, progress)) {
        if (record.raw != 0) {
          records.push_back(record);
        }
      }
      if (records.size() > kMostChunks) {
        throw base::Unsupported("cannot export " + base::quoted(files.path(file)) + ": more than " +
                                std::to_string(kMostChunks * kChunkBytes >> 30U) +
                                " GiB of the template are not zero");
      }
      from = end;
    }
  }
  return records;
}

}  // namespace oci
