// SPDX-License-Identifier: Apache-2.0
// Finds and hashes the chunks of a template that are not zero.
#pragma once

#include <span>
#include <vector>

#include "clone/progress.h"
#include "oci/chunk_index.h"
#include "oci/template_files.h"

namespace oci {

// Reads one chunk into `buffer` of kChunkBytes, and returns its bytes: fewer only at the end of the
// file. Throws base::BadData if the file is shorter than `bytes`; std::system_error.
std::span<const std::byte> read_chunk(int fd, uint64_t number, uint64_t bytes,
                                      std::span<std::byte> buffer, std::string_view name);

// The numbers of the chunks of a file that may have data, in order, at most `most` of them from
// chunk `from` on. Chunks that are holes are not in the list.
std::vector<uint64_t> chunks_with_data(int fd, uint64_t bytes, uint64_t from, size_t most,
                                       std::string_view name);

// Returns a record without pack, offset and length for each chunk that is not zero, in the order of
// the index. Holes are not read. Throws base::Unsupported for more than kMostChunks.
std::vector<ChunkRecord> hash_chunks(const TemplateFiles& files, int jobs,
                                     cloning::Progress& progress);

// The number of threads that read, hash and compress.
int jobs_here();

}  // namespace oci
