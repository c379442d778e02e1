// SPDX-License-Identifier: Apache-2.0
// Matches chunks with those of an earlier version by their digests.
#include "oci/pack_plan.h"

#include <algorithm>
#include <numeric>
#include <optional>

namespace oci {
namespace {

constexpr uint32_t kNowhere = UINT32_MAX;

// The positions of chunks, sorted by digest, so that one digest is found in O(log n) without a copy
// of the digests.
class ByDigest {
 public:
  explicit ByDigest(std::span<const ChunkRecord> chunks) : chunks_(chunks), order_(chunks.size()) {
    std::iota(order_.begin(), order_.end(), 0U);
    std::ranges::stable_sort(order_, {}, [&](uint32_t i) { return chunks_[i].digest; });
  }
  std::span<const uint32_t> order() const { return order_; }
  // The first chunk with this digest.
  std::optional<uint32_t> find(const Digest& digest) const {
    const auto found =
        std::ranges::lower_bound(order_, digest, {}, [&](uint32_t i) { return chunks_[i].digest; });
    return found != order_.end() && chunks_[*found].digest == digest ? std::optional(*found)
                                                                     : std::nullopt;
  }

 private:
  std::span<const ChunkRecord> chunks_;
  std::vector<uint32_t> order_;
};

// The bytes of each pack of the earlier version that the chunks still use.
std::vector<uint64_t> live_bytes(const EarlierVersion& earlier,
                                 const std::vector<uint32_t>& found) {
  std::vector<bool> is_used(earlier.index.chunks.size());
  for (const uint32_t position : found) {
    if (position != kNowhere) {
      is_used[position] = true;
    }
  }
  std::vector<uint64_t> live(earlier.packs.size());
  for (size_t i = 0; i < is_used.size(); ++i) {
    if (is_used[i]) {
      live[earlier.index.chunks[i].pack] += earlier.index.chunks[i].length;
    }
  }
  return live;
}

// Drops packs until at most kMostDeadShare of the bytes of the others are unused.
void drop_dead_packs(std::vector<uint32_t>& kept, const std::vector<uint64_t>& live,
                     const std::vector<uint64_t>& bytes) {
  const auto live_share = [&](uint32_t pack) {
    return static_cast<double>(live[pack]) / static_cast<double>(bytes[pack]);
  };
  std::ranges::stable_sort(kept, std::ranges::greater(), live_share);
  uint64_t all = 0;
  uint64_t used = 0;
  for (const uint32_t pack : kept) {
    all += bytes[pack];
    used += live[pack];
  }
  while (!kept.empty() &&
         static_cast<double>(all - used) > kMostDeadShare * static_cast<double>(all)) {
    all -= bytes[kept.back()];
    used -= live[kept.back()];
    kept.pop_back();
  }
}

// The packs for the chunks that lie in none of the packs that stay.
std::vector<std::vector<uint32_t>> group(const std::vector<ChunkRecord>& chunks,
                                         const ByDigest& by_digest,
                                         const std::vector<bool>& is_placed) {
  const uint64_t total =
      std::accumulate(chunks.begin(), chunks.end(), uint64_t{0},
                      [](uint64_t sum, const ChunkRecord& chunk) { return sum + chunk.raw; });
  const uint64_t pack_bytes =
      std::max(kLeastPackBytes, (total + kPacksOfOneVersion - 1) / kPacksOfOneVersion);
  std::vector<std::vector<uint32_t>> packs;
  uint64_t bytes = pack_bytes;
  for (uint32_t i = 0; i < chunks.size(); ++i) {
    if (is_placed[i] || by_digest.find(chunks[i].digest) != i) {
      continue;
    }
    if (bytes >= pack_bytes) {
      packs.emplace_back();
      bytes = 0;
    }
    packs.back().push_back(i);
    bytes += chunks[i].raw;
  }
  return packs;
}

}  // namespace

PackPlan plan_packs(std::vector<ChunkRecord>& chunks, const EarlierVersion& earlier) {
  const ByDigest by_digest(chunks);
  std::vector<uint32_t> found(chunks.size(), kNowhere);
  {
    const ByDigest old(earlier.index.chunks);
    for (size_t i = 0; i < chunks.size(); ++i) {
      found[i] = old.find(chunks[i].digest).value_or(kNowhere);
    }
  }
  const std::vector<uint64_t> live = live_bytes(earlier, found);
  PackPlan plan;
  for (uint32_t pack = 0; pack < earlier.packs.size(); ++pack) {
    if (live[pack] > 0 && earlier.packs[pack] > 0) {
      plan.kept.push_back(pack);
    }
  }
  drop_dead_packs(plan.kept, live, earlier.packs);
  std::ranges::stable_sort(plan.kept, std::ranges::greater(),
                           [&](uint32_t pack) { return earlier.packs[pack]; });
  std::vector<bool> is_placed(chunks.size());
  for (;;) {
    std::vector<bool> stays(earlier.packs.size());
    for (const uint32_t pack : plan.kept) {
      stays[pack] = true;
    }
    for (size_t i = 0; i < chunks.size(); ++i) {
      is_placed[i] = found[i] != kNowhere && stays[earlier.index.chunks[found[i]].pack];
    }
    plan.added = group(chunks, by_digest, is_placed);
    if (plan.kept.size() + plan.added.size() <= kMostPacks) {
      break;
    }
    plan.kept.pop_back();
  }
  std::ranges::sort(plan.kept);
  std::vector<uint32_t> number(earlier.packs.size());
  for (uint32_t i = 0; i < plan.kept.size(); ++i) {
    number[plan.kept[i]] = i;
  }
  for (size_t i = 0; i < chunks.size(); ++i) {
    if (is_placed[i]) {
      const ChunkRecord& old = earlier.index.chunks[found[i]];
      chunks[i].pack = number[old.pack];
      chunks[i].offset = old.offset;
      chunks[i].length = old.length;
    }
  }
  return plan;
}

void place_duplicates(std::vector<ChunkRecord>& chunks) {
  const ByDigest by_digest(chunks);
  for (size_t i = 0; i < chunks.size(); ++i) {
    if (chunks[i].length == 0) {
      const ChunkRecord& first = chunks[*by_digest.find(chunks[i].digest)];
      chunks[i].pack = first.pack;
      chunks[i].offset = first.offset;
      chunks[i].length = first.length;
    }
  }
}

}  // namespace oci
