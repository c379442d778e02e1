// SPDX-License-Identifier: Apache-2.0
// Which packs of an earlier version stay, and how chunks are grouped into new ones.
#include "oci/pack_plan.h"

#include <gtest/gtest.h>

#include <numeric>

namespace oci {
namespace {

constexpr uint64_t kChunksOfAPack = kLeastPackBytes / kChunkBytes;

ChunkRecord chunk(uint64_t number, const std::string& contents) {
  ChunkRecord record;
  record.number = number;
  record.raw = kChunkBytes;
  record.digest = sha256(contents);
  return record;
}

// Chunks with different contents; `version` is part of those that `is_changed` chooses.
std::vector<ChunkRecord> chunks_of(uint64_t count, const std::string& version = "",
                                   const std::function<bool(uint64_t)>& is_changed = nullptr) {
  std::vector<ChunkRecord> chunks;
  for (uint64_t i = 0; i < count; ++i) {
    const bool changed = is_changed && is_changed(i);
    chunks.push_back(chunk(i, std::to_string(i) + (changed ? version : "")));
  }
  return chunks;
}

// Does what write_packs does, with frames of 1000 bytes.
EarlierVersion written(std::vector<ChunkRecord> chunks, const PackPlan& plan,
                       const EarlierVersion& before) {
  EarlierVersion version;
  for (const uint32_t pack : plan.kept) {
    version.packs.push_back(before.packs[pack]);
  }
  for (size_t pack = 0; pack < plan.added.size(); ++pack) {
    uint64_t offset = 0;
    for (const uint32_t position : plan.added[pack]) {
      chunks[position].pack = static_cast<uint32_t>(plan.kept.size() + pack);
      chunks[position].offset = offset;
      chunks[position].length = 1000;
      offset += 1000;
    }
    version.packs.push_back(offset);
  }
  place_duplicates(chunks);
  version.index = {.files = 1,
                   .packs = static_cast<uint32_t>(version.packs.size()),
                   .chunks = std::move(chunks)};
  return version;
}

EarlierVersion first_version(std::vector<ChunkRecord> chunks) {
  const PackPlan plan = plan_packs(chunks, {});
  return written(std::move(chunks), plan, {});
}

size_t chunks_in(const PackPlan& plan) {
  return std::accumulate(plan.added.begin(), plan.added.end(), size_t{0},
                         [](size_t sum, const auto& pack) { return sum + pack.size(); });
}

TEST(PackPlanTest, PutsSixteenMebibytesIntoAPack) {
  std::vector<ChunkRecord> chunks = chunks_of(2 * kChunksOfAPack + 1);
  const PackPlan plan = plan_packs(chunks, {});
  ASSERT_EQ(plan.added.size(), 3U);
  EXPECT_EQ(plan.added[0].size(), kChunksOfAPack);
  EXPECT_EQ(plan.added[2].size(), 1U);
}

TEST(PackPlanTest, WritesEqualChunksOnce) {
  std::vector<ChunkRecord> chunks{chunk(0, "a"), chunk(1, "b"), chunk(2, "a")};
  const PackPlan plan = plan_packs(chunks, {});
  EXPECT_EQ(chunks_in(plan), 2U);
  const EarlierVersion version = written(chunks, plan, {});
  EXPECT_EQ(version.index.chunks[2].offset, version.index.chunks[0].offset);
}

TEST(PackPlanTest, HasAtMost256LayersForAnySize) {
  for (const uint64_t count : {1, 8'000, 20'000, 100'000}) {
    std::vector<ChunkRecord> chunks = chunks_of(count);
    const PackPlan plan = plan_packs(chunks, {});
    EXPECT_LE(plan.added.size() + 2, kMostLayers);
    EXPECT_EQ(chunks_in(plan), count);
  }
}

TEST(PackPlanTest, KeepsOldPacksAndAddsWhatChanged) {
  const EarlierVersion first = first_version(chunks_of(1000));
  std::vector<ChunkRecord> chunks = chunks_of(1000, "v2", [](uint64_t i) { return i % 10 == 0; });
  const PackPlan plan = plan_packs(chunks, first);
  EXPECT_EQ(plan.kept.size(), first.packs.size());
  EXPECT_EQ(chunks_in(plan), 100U);
  EXPECT_EQ(chunks[1].offset, first.index.chunks[1].offset);
  EXPECT_EQ(chunks[1].length, 1000U);
}

TEST(PackPlanTest, RepacksIfMoreThan30PercentAreDead) {
  const EarlierVersion first = first_version(chunks_of(1024));
  const auto some = [](uint64_t share) { return [share](uint64_t i) { return i % 100 < share; }; };
  std::vector<ChunkRecord> chunks = chunks_of(1024, "v2", some(28));
  EXPECT_EQ(plan_packs(chunks, first).kept.size(), first.packs.size());
  chunks = chunks_of(1024, "v2", [](uint64_t i) { return i < 400; });
  const PackPlan plan = plan_packs(chunks, first);
  // The first packs have no chunk that is used, so the others stay as they are.
  EXPECT_EQ(plan.kept.front(), 400 / kChunksOfAPack);
  chunks = chunks_of(1024, "v2", some(40));
  EXPECT_LT(plan_packs(chunks, first).kept.size(), first.packs.size());
}

TEST(PackPlanTest, ManyVersionsStayWithinTheLayersAndTheDeadShare) {
  std::vector<ChunkRecord> chunks = chunks_of(20'000);
  PackPlan plan = plan_packs(chunks, {});
  EarlierVersion version = written(chunks, plan, {});
  for (int i = 0; i < 40; ++i) {
    for (uint64_t at = static_cast<uint64_t>(i); at < 20'000; at += 13) {
      chunks[at] = chunk(at, std::to_string(at) + "v" + std::to_string(i));
    }
    for (ChunkRecord& record : chunks) {
      record.length = 0;
    }
    plan = plan_packs(chunks, version);
    version = written(chunks, plan, version);
    ASSERT_LE(version.packs.size(), kMostPacks);
    const uint64_t all = std::accumulate(version.packs.begin(), version.packs.end(), uint64_t{0});
    ASSERT_LE(static_cast<double>(all), 20'000 * 1000 / (1 - kMostDeadShare));
    const std::vector<uint64_t> files{20'000 * kChunkBytes};
    check_index(version.index, files, version.packs, "x");
  }
}

TEST(PackPlanTest, WritesTheChunksOfALostPackAgain) {
  EarlierVersion first = first_version(chunks_of(3 * kChunksOfAPack));
  first.packs[1] = 0;
  std::vector<ChunkRecord> chunks = chunks_of(3 * kChunksOfAPack);
  const PackPlan plan = plan_packs(chunks, first);
  EXPECT_EQ(plan.kept, (std::vector<uint32_t>{0, 2}));
  EXPECT_EQ(chunks_in(plan), kChunksOfAPack);
  EXPECT_EQ(chunks[2 * kChunksOfAPack].pack, 1U);
}

}  // namespace
}  // namespace oci
