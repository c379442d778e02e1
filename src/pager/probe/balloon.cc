// SPDX-License-Identifier: Apache-2.0
// Divides memory into runs and shuffles them.
#include "pager/probe/balloon.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace pager {

BalloonPlan::BalloonPlan(uint64_t pages, const std::function<bool(PageNumber)>& keeps,
                         const std::function<uint64_t(PageNumber)>& region_end, uint64_t seed) {
  constexpr uint64_t kLongest = 16;
  Random random(seed);
  for (uint64_t page = 0; page < pages;) {
    const auto first = static_cast<PageNumber>(page);
    const uint64_t end = std::min(page + 1 + random.below(kLongest), region_end(first));
    while (page < end && !keeps(static_cast<PageNumber>(page))) {
      ++page;
    }
    if (page > first) {
      runs_.push_back({.first = first, .count = static_cast<PageNumber>(page - first)});
    } else {
      ++page;  // a kept page
    }
  }
  taken_.resize(runs_.size());
  order_.resize(runs_.size());
  std::iota(order_.begin(), order_.end(), size_t{0});
  for (size_t i = order_.size(); i > 1; --i) {
    std::swap(order_[i - 1], order_[random.below(i)]);
  }
}

std::optional<PageRun> BalloonPlan::take(size_t index) {
  if (taken_[index]) {
    return std::nullopt;
  }
  taken_[index] = true;
  return runs_[index];
}

std::optional<PageRun> BalloonPlan::take_at(PageNumber page) {
  const auto after = std::ranges::upper_bound(runs_, page, {}, &PageRun::first);
  if (after == runs_.begin()) {
    return std::nullopt;
  }
  const auto run = std::prev(after);
  return page - run->first < run->count ? take(static_cast<size_t>(run - runs_.begin()))
                                        : std::nullopt;
}

std::optional<PageRun> BalloonPlan::take_any() {
  while (next_ < order_.size()) {
    if (const std::optional<PageRun> run = take(order_[next_++])) {
      return run;
    }
  }
  return std::nullopt;
}

}  // namespace pager
