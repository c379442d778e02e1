// SPDX-License-Identifier: Apache-2.0
// Tests the laws of merges, and counts of random lists.
#include "hot/list_sets.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "hot/hpl2_reader.h"
#include "hot/hpl2_writer.h"

namespace hot {
namespace {

constexpr uint64_t kPages = 512;

NamedList list_of(const std::vector<uint64_t>& pages) {
  NamedList named{.name = "x",
                  .list = {.format = ListFormat::hpl2,
                           .regions = {{.base = 0, .size = kPages * kSmallPage}},
                           .memory_bytes = kPages * kSmallPage}};
  for (const uint64_t page : pages) {
    append_page(named.list, {.region = 0, .offset = page * kSmallPage});
  }
  return named;
}

std::vector<uint64_t> pages_of(const HotList& list) {
  std::vector<uint64_t> pages;
  for (const HotPage& page : expand(list.runs, list.page_size)) {
    pages.push_back(page.offset / kSmallPage);
  }
  return pages;
}

std::set<uint64_t> set_of(const HotList& list) {
  const std::vector<uint64_t> pages = pages_of(list);
  return {pages.begin(), pages.end()};
}

NamedList random_list(std::mt19937_64& random) {
  std::vector<uint64_t> pages;
  std::set<uint64_t> seen;
  for (uint64_t i = 0; i < 100; ++i) {
    if (const uint64_t page = random() % kPages; seen.insert(page).second) {
      pages.push_back(page);
    }
  }
  return list_of(pages);
}

HotList merge(const std::vector<NamedList>& lists, MergeRule rule, uint64_t least = 1) {
  return merge_lists(lists, rule, least);
}

TEST(MergeLists, KeepsTheOrderOfTheFirstListAndAppendsTheOthers) {
  const NamedList a = list_of({5, 1, 9});
  const NamedList b = list_of({7, 9, 5, 2});
  EXPECT_EQ(pages_of(merge({a, b}, MergeRule::any)), (std::vector<uint64_t>{5, 1, 9, 7, 2}));
  EXPECT_EQ(pages_of(merge({b, a}, MergeRule::any)), (std::vector<uint64_t>{7, 9, 5, 2, 1}));
  EXPECT_EQ(pages_of(merge({a, b}, MergeRule::all)), (std::vector<uint64_t>{5, 9}));
  EXPECT_EQ(pages_of(merge({a, b, b}, MergeRule::weight, 2)), (std::vector<uint64_t>{5, 9, 7, 2}));
  EXPECT_EQ(merge({a, b}, MergeRule::any).weights,
            (std::vector<HotWeight>{{1, 2}, {1, 1}, {1, 2}, {2, 1}}));
}

TEST(MergeLists, LawsHoldForRandomLists) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 30; ++round) {
    const std::vector<NamedList> lists{random_list(random), random_list(random),
                                       random_list(random)};
    const HotList any = merge(lists, MergeRule::any);
    const HotList all = merge(lists, MergeRule::all);
    EXPECT_EQ(pages_of(merge({lists[0], lists[0]}, MergeRule::any)), pages_of(lists[0].list));
    EXPECT_EQ(pages_of(merge({lists[0]}, MergeRule::all)), pages_of(lists[0].list));
    EXPECT_EQ(pages_of(merge(lists, MergeRule::weight, 1)), pages_of(any));
    EXPECT_EQ(pages_of(merge(lists, MergeRule::weight, 3)), pages_of(all));
    EXPECT_EQ(set_of(merge({lists[2], lists[0], lists[1]}, MergeRule::any)), set_of(any));
    const HotList first_two = merge({lists[0], lists[1]}, MergeRule::any);
    EXPECT_EQ(pages_of(merge({{"m", first_two}, lists[2]}, MergeRule::any)), pages_of(any))
        << "a merge of a merge";
    EXPECT_EQ(pages_of(merge({{"m", first_two}, lists[2]}, MergeRule::weight, 2)),
              pages_of(merge(lists, MergeRule::weight, 2)))
        << "weights add up";
    EXPECT_EQ(read_hpl2(encode_hpl2(any), UINT64_MAX).weights, any.weights);
    const ListDiff diff = diff_lists(lists[0], lists[1]);
    EXPECT_EQ(diff.both, set_of(merge({lists[0], lists[1]}, MergeRule::all)).size());
    EXPECT_EQ(diff.both + diff.only_first, set_of(lists[0].list).size());
    EXPECT_EQ(diff.both + diff.only_first + diff.only_second, set_of(first_two).size());
  }
}

TEST(MergeLists, APageIsInItsEarliestPhase) {
  NamedList a = list_of({1, 2, 3, 4});
  a.list.phases = {{.pages = 2, .name = ""}, {.pages = 2, .name = "ready"}};
  NamedList b = list_of({4, 5, 1});
  b.list.phases = {{.pages = 1, .name = ""}, {.pages = 2, .name = ""}};
  const HotList merged = merge({a, b}, MergeRule::any);
  EXPECT_EQ(pages_of(merged), (std::vector<uint64_t>{1, 2, 4, 3, 5}));
  EXPECT_EQ(merged.phases, (std::vector<HotPhase>{{3, ""}, {2, "ready"}}));
}

TEST(MergeLists, IsExactOnlyIfAllListsAre) {
  NamedList resident = list_of({1});
  resident.list.exact = false;
  EXPECT_FALSE(merge({list_of({2}), resident}, MergeRule::any).exact);
  EXPECT_FALSE(merge({resident, list_of({2})}, MergeRule::any).exact);
  EXPECT_TRUE(merge({list_of({1}), list_of({2})}, MergeRule::any).exact);
}

TEST(MergeLists, RefusesMoreRecordingsThanAWeightCanCount) {
  NamedList many = list_of({1});
  many.list.recordings = UINT32_MAX;
  many.list.weights = {{.pages = 1, .weight = UINT32_MAX}};
  EXPECT_THROW(merge({many, list_of({1})}, MergeRule::any), base::Refused);
  EXPECT_EQ(merge({many}, MergeRule::any).weights.front().weight, UINT32_MAX);
}

TEST(MergeLists, RefusesListsOfDifferentImages) {
  const NamedList a = list_of({1});
  NamedList longer = list_of({1});
  longer.list.memory_bytes *= 2;
  NamedList other = list_of({1});
  other.list.digest = "other";
  NamedList known = list_of({1});
  known.list.digest = "known";
  NamedList large{.name = "large", .list = {}};
  large.list.runs.push_back({.region = 0, .offset = kPages * kSmallPage});
  EXPECT_THROW(merge({a, longer}, MergeRule::any), base::Refused);
  EXPECT_THROW(merge({known, other}, MergeRule::any), base::Refused);
  EXPECT_THROW(merge({a, large}, MergeRule::any), base::Refused);
  EXPECT_EQ(merge({a, known}, MergeRule::any).digest, "known");
}

TEST(ListStat, CountsDistinctPagesAndRuns) {
  const ListStat stat = stat_list(list_of({0, 1, 5, 3, 2}).list);
  EXPECT_EQ(stat.entries, 5U);
  EXPECT_EQ(stat.distinct, 5U);
  EXPECT_EQ(stat.runs, 2U) << "0 to 3, and 5";
  HotList repeats;
  repeats.runs = {{0, 1, 0}, {0, 1, kSmallPage}, {0, 1, 0}, {1, 1, 2 * kSmallPage}};
  EXPECT_EQ(stat_list(repeats).distinct, 3U);
  EXPECT_EQ(stat_list(repeats).runs, 2U);
  EXPECT_EQ(stat_list(repeats).regions, 2U);
  EXPECT_EQ(count_pages(without_repeats(repeats).runs), 3U);
}

}  // namespace
}  // namespace hot
