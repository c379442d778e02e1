// SPDX-License-Identifier: Apache-2.0
// Lists as sets of pages: union, intersection, majority, and what two lists have in common.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "hot/hot_list.h"

namespace hot {

// A list, and its name for messages.
struct NamedList {
  std::string name;
  HotList list;
};

// The pages that a merge keeps. The weight of a page is the sum of its weights in the lists.
enum class MergeRule {
  any,     // union
  all,     // pages of every list
  weight,  // pages whose weight is at least `least`
};

// Merges lists of one image. Pages are ordered by phase: a page is in the earliest phase in which a
// list has it. Inside of a phase, the pages of the first list come first, in its order; then those
// that only later lists have. Lists without regions (HPL1) get those of the other lists. Throws
// base::Refused if two lists are for different images, or if a page does not fit the regions.
HotList merge_lists(std::span<const NamedList> lists, MergeRule rule, uint64_t least);

// The list with each page once, at its first place.
HotList without_repeats(HotList list);

struct ListDiff {
  uint64_t both = 0;
  uint64_t only_first = 0;
  uint64_t only_second = 0;
};
// Throws as merge_lists.
ListDiff diff_lists(const NamedList& first, const NamedList& second);

struct ListStat {
  uint64_t entries = 0;
  uint64_t distinct = 0;  // without repeats
  uint64_t regions = 0;   // distinct regions in the list
  uint64_t runs = 0;      // of adjacent pages, in any order; one read can cover a run
  uint64_t bytes = 0;     // of the distinct pages
  // An estimate for an image in the page cache: 1.2 us for each run and 3 GB/s (bench/RESULTS.md).
  uint64_t install_us = 0;
};
ListStat stat_list(const HotList& list);

}  // namespace hot
