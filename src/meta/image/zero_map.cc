// SPDX-License-Identifier: Apache-2.0
// Joins adjacent runs of zero pages, and drops the shortest ones when there are too many.
#include "meta/image/zero_map.h"

#include <algorithm>

namespace meta {

void ZeroMap::add(uint64_t first, uint64_t count) {
  if (count == 0) {
    return;
  }
  pages_ += count;
  if (!runs_.empty() && runs_.back().first + runs_.back().count == first) {
    runs_.back().count += count;
    return;
  }
  // Only the last run may be shorter than shortest_, because it may still grow.
  if (!runs_.empty() && runs_.back().count < shortest_) {
    runs_.pop_back();
  }
  runs_.push_back({.first = first, .count = count});
  if (runs_.size() > most_runs_) {
    forget_short_runs();
  }
}

void ZeroMap::forget_short_runs() {
  const ZeroRun last = runs_.back();
  runs_.pop_back();
  while (runs_.size() >= most_runs_ && shortest_ < UINT64_MAX / 2) {
    shortest_ *= 2;
    std::erase_if(runs_, [&](const ZeroRun& run) { return run.count < shortest_; });
  }
  runs_.push_back(last);
}

}  // namespace meta
