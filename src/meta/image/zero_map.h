// SPDX-License-Identifier: Apache-2.0
// Which pages of an image are zero, as runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace meta {

inline constexpr uint64_t kZeroMapPage = 4096;

struct PageRun {
  uint64_t first;  // page number in the file
  uint64_t count;
  bool operator==(const PageRun&) const = default;
};

// Collects runs of zero pages in the order of the file. Keeps at most `most_runs`: when there are
// more, it forgets the short ones, and says from which length on the map is complete.
class ZeroMap {
 public:
  static constexpr size_t kMostRuns = 200'000;
  explicit ZeroMap(size_t most_runs = kMostRuns) : most_runs_(most_runs) {}

  // Pages must come in order; a run that touches the one before is joined to it.
  void add(uint64_t first, uint64_t count);

  const std::vector<PageRun>& runs() const { return runs_; }
  // Runs of this many pages and more are all there (but for an end that is still to come).
  uint64_t complete_from() const { return shortest_; }
  // Zero pages in all, forgotten ones too.
  uint64_t pages() const { return pages_; }

 private:
  void forget_short_runs();

  std::vector<PageRun> runs_;
  size_t most_runs_;
  uint64_t shortest_ = 1;
  uint64_t pages_ = 0;
};

// Whether all of `bytes` are 0.
bool is_zero(std::span<const std::byte> bytes);

}  // namespace meta
