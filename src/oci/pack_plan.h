// SPDX-License-Identifier: Apache-2.0
// Decides which packs of an earlier version stay, and which chunks go into new packs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "oci/chunk_index.h"

namespace oci {

// An earlier version of a template. `packs` has the length of each of its packs; 0 for a pack that
// is missing or corrupt, and cannot be used again.
struct EarlierVersion {
  ChunkIndex index;
  std::vector<uint64_t> packs;
};

struct PackPlan {
  // The packs of the earlier version that stay, ascending. They are the first packs of the new one.
  std::vector<uint32_t> kept;
  // The chunks of each new pack: positions in `chunks`, each digest once.
  std::vector<std::vector<uint32_t>> added;
};

// Plans the packs for `chunks`, and sets pack, offset and length of each chunk that lies in a pack
// that stays. The plan depends on its arguments alone. The rules:
//
// * A pack without a chunk that is still used is dropped.
// * The packs with the largest unused share are dropped until at most kMostDeadShare of the bytes
//   of the others are unused.
// * There are at most kMostPacks. If there would be more, the smallest old packs are dropped.
// * A new pack has the chunks of at least kLeastPackBytes raw bytes, and more if the template is so
//   large that it would have more than kPacksOfOneVersion packs.
PackPlan plan_packs(std::vector<ChunkRecord>& chunks, const EarlierVersion& earlier);

inline constexpr double kMostDeadShare = 0.30;

// Copies pack, offset and length of a chunk that has them to all chunks with the same
// digest that have none yet.
void place_duplicates(std::vector<ChunkRecord>& chunks);

}  // namespace oci
