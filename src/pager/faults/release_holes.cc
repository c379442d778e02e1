// SPDX-License-Identifier: Apache-2.0
// Finds the holes of each region and unregisters them.
#include "pager/faults/release_holes.h"

#include <cstdint>

#include "pager/kernel/uffd.h"

namespace pager {

void release_holes(int uffd, PageTable& table, const Image& image, Counters& counters) {
  // Each released piece in the middle of a mapping splits it and adds two mappings. A process has
  // at most 65,530 of them (vm.max_map_count).
  constexpr int kMost = 1024;
  int left = kMost;
  for (const PageTable::RegionPages& entry : table.regions()) {
    const hot::Region& region = entry.region;
    const auto release = [&](uint64_t from, uint64_t to) {  // offsets in the file
      const uint64_t start =
          (region.base + (from - region.offset) + hot::kHugePage - 1) & ~(hot::kHugePage - 1);
      const uint64_t end = (region.base + (to - region.offset)) & ~(hot::kHugePage - 1);
      if (start < end && left > 0 && uffd_unregister(uffd, start, end - start) == 0) {
        --left;
        counters.add(Count::bytes_released, end - start);
        table.mark_removed(start, end);  // like removed pages, they read as zeros
      }
    };
    image.data().for_each_hole(region.offset, region.offset + region.size, release);
  }
}

}  // namespace pager
