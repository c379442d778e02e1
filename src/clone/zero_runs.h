// Data that is zero, and which of it is worth a hole.
//
// A hole costs for ever: it cuts an extent in two, and each clone of the file pays 7 to 35 us for
// each extent; and punching one costs up to milliseconds. So only runs of kSmallestHole or more
// become holes, and of those only the largest, until the file has kManyExtents extents. What zero
// pages that leaves is no loss to a guest: the page server knows them from the zero map, whatever
// the file is made of. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "clone/data_ranges.h"
#include "clone/extents.h"

namespace cloning {

// The unit in which zeros are looked for: a page of guest memory and the usual filesystem block.
inline constexpr size_t kHoleBlock = 4096;
inline constexpr off_t kSmallestHole = 64 << 10;
// So many in a dense file: it then has as many extents as can be cloned without a warning.
inline constexpr size_t kMostHoles = kManyExtents - 1;

struct BlockRun {
  size_t length;
  bool zero;
};
// How many blocks at the start of `data` (not empty) are alike, all zero or all not. The last block
// may be a partial one. `data` starts on a block boundary.
BlockRun first_run(std::span<const std::byte> data);

// Collects the zeros of a file that is read in pieces, by any thread and in any order.
class ZeroRuns {
 public:
  void add(off_t offset, std::span<const std::byte> data);
  // The runs that are worth a hole, at most `most` of them, in order.
  std::vector<Range> holes(size_t most = kMostHoles);
  // All bytes of zero blocks.
  int64_t zero_bytes() const { return zero_bytes_; }

 private:
  std::mutex mutex_;
  std::vector<Range> runs_;
  int64_t zero_bytes_ = 0;
};

// The `most` longest of `ranges`, in order of their place.
std::vector<Range> longest(std::vector<Range> ranges, size_t most);

}  // namespace cloning
