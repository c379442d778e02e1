// SPDX-License-Identifier: Apache-2.0
// Collects the runs of zero pages of a memory file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace meta {

// A run of zero pages of hot::kSmallPage bytes.
struct ZeroRun {
  uint64_t first;  // page number in the file
  uint64_t count;
  bool operator==(const ZeroRun&) const = default;
};

// Collects runs of zero pages in the order of the file. It keeps at most `most_runs` runs. If there
// are more, it drops the short ones; complete_from() is the length from which the map is complete.
class ZeroMap {
 public:
  static constexpr size_t kMostRuns = 200'000;
  explicit ZeroMap(size_t most_runs = kMostRuns) : most_runs_(most_runs) {}

  // Runs must come in ascending order. A run adjacent to the previous one is joined to it.
  void add(uint64_t first, uint64_t count);

  const std::vector<ZeroRun>& runs() const { return runs_; }
  // The map has all runs of at least this many pages, except for the part that is not added yet.
  uint64_t complete_from() const { return shortest_; }
  // The number of zero pages, including those of dropped runs.
  uint64_t pages() const { return pages_; }

 private:
  void forget_short_runs();

  std::vector<ZeroRun> runs_;
  size_t most_runs_;
  uint64_t shortest_ = 1;
  uint64_t pages_ = 0;
};

}  // namespace meta
