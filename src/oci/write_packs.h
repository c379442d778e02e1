// SPDX-License-Identifier: Apache-2.0
// Compresses chunks into new packs.
#pragma once

#include <vector>

#include "clone/progress.h"
#include "oci/chunk_index.h"
#include "oci/output.h"
#include "oci/pack_plan.h"
#include "oci/template_files.h"

namespace oci {

// Writes the packs of plan.added, several at once, and adds them to the output in order. Sets pack,
// offset and length of their chunks; the first new pack has the number plan.kept.size(). Returns
// their descriptors. The caller calls TemplateFiles::require_unchanged afterwards, because the
// chunks are read a second time here.
std::vector<Descriptor> write_packs(const TemplateFiles& files, const PackPlan& plan,
                                    std::vector<ChunkRecord>& chunks, Output& output, int jobs,
                                    cloning::Progress& progress);

}  // namespace oci
