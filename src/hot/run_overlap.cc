// SPDX-License-Identifier: Apache-2.0
// Sorts runs, or marks their pages in a bitmap, whichever needs less memory.
#include "hot/run_overlap.h"

#include <algorithm>
#include <vector>

namespace hot {
namespace {

struct Pages {
  uint64_t first = 0;
  uint64_t count = 0;
};

Pages pages_of(const HotList& list, const HotRun& run) {
  return {.first = (list.regions[run.region].offset + run.offset) / list.page_size,
          .count = run.count};
}

bool is_ascending(const HotList& list) {
  uint64_t end = 0;
  return std::ranges::all_of(list.runs, [&](const HotRun& run) {
    const Pages pages = pages_of(list, run);
    const bool after = pages.first >= end;
    end = pages.first + pages.count;
    return after;
  });
}

std::optional<uint64_t> find_by_bitmap(const HotList& list) {
  constexpr uint64_t kBits = 64;
  std::vector<uint64_t> words(list.memory_bytes / list.page_size / kBits + 1);
  for (const HotRun& run : list.runs) {
    const Pages pages = pages_of(list, run);
    for (uint64_t page = pages.first; page < pages.first + pages.count;) {
      const uint64_t bit = page % kBits;
      const uint64_t count = std::min(kBits - bit, pages.first + pages.count - page);
      const uint64_t mask = (count == kBits ? ~uint64_t{0} : (uint64_t{1} << count) - 1) << bit;
      uint64_t& word = words[page / kBits];
      if ((word & mask) != 0) {
        return page;
      }
      word |= mask;
      page += count;
    }
  }
  return std::nullopt;
}

std::optional<uint64_t> find_by_sorting(const HotList& list) {
  std::vector<Pages> sorted;
  sorted.reserve(list.runs.size());
  for (const HotRun& run : list.runs) {
    sorted.push_back(pages_of(list, run));
  }
  std::ranges::sort(sorted, {}, &Pages::first);
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i].first < sorted[i - 1].first + sorted[i - 1].count) {
      return sorted[i].first;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<uint64_t> repeated_page(const HotList& list) {
  if (is_ascending(list)) {
    return std::nullopt;
  }
  // The bitmap has a bit for each page, so 16 bytes are 128 pages.
  constexpr uint64_t kPagesPerRun = 128;
  return list.runs.size() > list.memory_bytes / list.page_size / kPagesPerRun
             ? find_by_bitmap(list)
             : find_by_sorting(list);
}

}  // namespace hot
