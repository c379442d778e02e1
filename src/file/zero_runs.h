// SPDX-License-Identifier: Apache-2.0
// Data that is zero, and which of it is worth a hole. A hole is not free: it cuts an extent in
// two, and each clone of the file pays 7 to 35 us for each extent; and punching one costs up to
// milliseconds. So only runs of kSmallestHole or more become holes, and of those only the largest,
// until the file has kManyExtents extents. What zero pages that leaves is no loss to a guest: the
// page server knows them from the zero map, whatever the file is made of.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <mutex>
#include <span>
#include <vector>

#include "file/data_ranges.h"
#include "file/extents.h"

namespace file {

// The unit in which zeros are looked for: a page of guest memory and the usual filesystem block.
inline constexpr size_t kHoleBlock = 4096;
inline constexpr off_t kSmallestHole = 64 << 10;
// So many in a dense file: it then has as many extents as can be cloned without a warning.
inline constexpr size_t kMostHoles = kManyExtents - 1;

// Whether all bytes are zero; `block` is not empty.
bool is_zero(std::span<const std::byte> block);

// Collects the long runs of zeros of a file that is read in pieces, by any thread and in any order.
class ZeroRuns {
 public:
  // `offset` is a multiple of kHoleBlock. Looks at few of the blocks where no run is long.
  void add(off_t offset, std::span<const std::byte> data);
  // The runs that are worth a hole, at most `most` of them, in order.
  std::vector<Range> holes(size_t most = kMostHoles);

 private:
  std::mutex mutex_;
  std::vector<Range> runs_;
};

// The `most` longest of `ranges`, in order of their place.
std::vector<Range> longest(std::vector<Range> ranges, size_t most);

}  // namespace file
