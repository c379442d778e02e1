// SPDX-License-Identifier: Apache-2.0
// Writes the chunks of packs into the files of a new guest, and checks every byte.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "clone/progress.h"
#include "oci/chunk_index.h"
#include "oci/layout.h"
#include "oci/manifest.h"

namespace oci {

// A file that is being filled, open for reading and writing.
struct Target {
  base::Fd fd;
  std::string path;
};

// What an import reads: the layout, and its manifest and index, which have been checked.
struct Version {
  const Layout* layout = nullptr;
  Manifest manifest;
  ChunkIndex index;
  std::vector<uint32_t> order;  // of check_index
};

// Reads every pack to its end, and writes each chunk for which `is_wanted` is true into its file.
// Every pack is read once, so the bytes that are hashed are the bytes that are used. Throws
// base::BadData if a pack has another digest, or a chunk is not a zstd frame of its length and
// digest. A frame never writes more than the length of its chunk. Throws std::system_error.
void unpack(const Version& version, const std::vector<bool>& is_wanted,
            const std::vector<Target>& targets, int jobs, cloning::Progress& progress);

}  // namespace oci
