// SPDX-License-Identifier: Apache-2.0
// Selects the zeros of a file that are worth a hole.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <mutex>
#include <span>
#include <vector>

#include "file/byte_range.h"
#include "file/extents.h"

namespace file {

// The unit of the search for zeros: the usual block of a filesystem. (The unit of image.json is the
// page of the guest, hot::kSmallPage.)
inline constexpr size_t kHoleBlock = 4096;
inline constexpr off_t kSmallestHole = 64 << 10;
// A dense file with this many holes has as many extents as can be cloned without a warning.
inline constexpr size_t kMostHoles = kManyExtents - 1;

// Collects the long runs of zeros of a file that is read in pieces, by any thread and in any order.
//
// A hole has a cost: it cuts an extent in two, each clone of the file then pays 7 to 35 us for the
// additional extent, and punching it takes up to milliseconds. So only runs of kSmallestHole or
// more become holes, and only the longest of them, until the file has kManyExtents extents. The
// zero pages that remain cost a guest nothing: the page server knows them from the zero map.
class ZeroRuns {
 public:
  // `offset` is a multiple of kHoleBlock. Where no run is long, this reads few of the blocks.
  void add(off_t offset, std::span<const std::byte> data);
  // Returns the runs that are worth a hole, at most `most` of them, in order.
  std::vector<ByteRange> holes(size_t most = kMostHoles);

 private:
  std::mutex mutex_;
  std::vector<ByteRange> runs_;
};

// Returns the `most` longest of `ranges`, in order of their offsets.
std::vector<ByteRange> longest(std::vector<ByteRange> ranges, size_t most);

}  // namespace file
