// SPDX-License-Identifier: Apache-2.0
// Shares the blocks of chunks that a local template already has (FICLONERANGE).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "oci/description.h"
#include "oci/template_files.h"
#include "oci/unpack.h"
#include "store/store.h"

namespace oci {

// Shorter runs are copied: each shared run adds an extent to both sides.
inline constexpr uint64_t kLeastSharedBytes = 1 << 20;
// Two extents for each shared run, and as many for the data between holes: at most
// file::kManyExtents together.
inline constexpr size_t kMostSharedRuns = 249;
inline constexpr size_t kMostHoles = 500;

// Opens the template `id` for sharing. It takes the shared lock of the template without waiting.
// Returns nothing if the lock is not available. Throws base::Refused if `id` is not a template.
std::unique_ptr<TemplateFiles> open_share_source(const store::Store& store, const std::string& id);

// The template of the store that has the most of some chunks of the memory, spread over all of it,
// at the same offsets. Only templates with memory of the same length are compared. Returns nothing
// if none has any of them.
std::unique_ptr<TemplateFiles> find_share_source(const store::Store& store,
                                                 const Description& description,
                                                 const ChunkIndex& index);

// Hashes the chunks of `source` that have the same place, and clones runs of at least
// kLeastSharedBytes whose digests are right. The source is locked and does not change. Returns
// which chunks are shared now. If the filesystem cannot share, that is none.
std::vector<bool> share_chunks(const TemplateFiles& source, const Description& description,
                               const ChunkIndex& index, const std::vector<Target>& targets,
                               int jobs, cloning::Progress& progress);

}  // namespace oci
