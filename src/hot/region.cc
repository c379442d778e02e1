// SPDX-License-Identifier: Apache-2.0
// Validates a region layout that came from a peer.
#include "hot/region.h"

#include <array>
#include <limits>

namespace hot {
namespace {

std::string number(uint64_t value) {
  return std::to_string(value);
}

// Returns whether two half-open ranges share a byte. Their ends must not overflow.
bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
  return a < b + b_size && b < a + a_size;
}

std::optional<std::string> region_problem(const Region& region, uint64_t file_size) {
  if (region.page_size != kSmallPage && region.page_size != kHugePage) {
    return "page size " + number(region.page_size) + " is neither 4096 nor 2097152";
  }
  if (region.size == 0) {
    return "the region is empty";
  }
  const uint64_t mask = region.page_size - 1;
  for (const uint64_t value : std::array{region.base, region.size, region.offset}) {
    if ((value & mask) != 0) {
      return number(value) + " is not a multiple of the page size " + number(region.page_size);
    }
  }
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  if (region.base > kMax - region.size || region.offset > kMax - region.size) {
    return "base + size or offset + size overflows";
  }
  if (region.offset + region.size > file_size) {
    return "the region ends at " + number(region.offset + region.size) +
           ", beyond the memory file's " + number(file_size) + " bytes";
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> layout_problem(std::span<const Region> regions, uint64_t file_size) {
  if (regions.empty()) {
    return "the layout has no regions";
  }
  if (regions.size() > kMaxRegions) {
    return number(regions.size()) + " regions, more than " + number(kMaxRegions);
  }
  for (size_t i = 0; i < regions.size(); ++i) {
    const Region& region = regions[i];
    if (const auto problem = region_problem(region, file_size)) {
      return "region " + number(i) + ": " + *problem;
    }
    for (size_t k = 0; k < i; ++k) {
      const Region& other = regions[k];
      if (overlap(region.base, region.size, other.base, other.size) ||
          overlap(region.offset, region.size, other.offset, other.size)) {
        return "regions " + number(k) + " and " + number(i) + " overlap";
      }
    }
  }
  return std::nullopt;
}

}  // namespace hot
