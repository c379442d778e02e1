// SPDX-License-Identifier: Apache-2.0
// Where a VMM's guest memory lies: pieces of its address space, and of the memory file.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace hot {

// One piece, as Firecracker's handshake names it (GuestRegionUffdMapping). All in bytes. `base` is
// an address in the VMM; `offset` is the place in the memory file, which for x86 guests above 3 GiB
// is not the guest's physical address. Nothing that is copied may cross the end of a region.
struct Region {
  uint64_t base = 0;
  uint64_t size = 0;
  uint64_t offset = 0;
  uint64_t page_size = 4096;

  uint64_t end() const { return base + size; }
  bool contains(uint64_t address) const { return address >= base && address - base < size; }
  bool operator==(const Region&) const = default;
};

inline constexpr uint64_t kSmallPage = 4096;
inline constexpr uint64_t kHugePage = uint64_t{2} << 20U;

// The region of `regions` that holds `address`, or nullptr. A handful of regions: a linear search.
inline const Region* find_region(std::span<const Region> regions, uint64_t address) {
  const auto found =
      std::ranges::find_if(regions, [&](const Region& r) { return r.contains(address); });
  return found == regions.end() ? nullptr : &*found;
}

// What is wrong with a layout for a memory file of `file_size` bytes, or nothing: no regions, more
// than kMaxRegions, a page size other than 4 KiB and 2 MiB, zero or unaligned or overflowing base,
// size or offset, regions that overlap in addresses or in the file, a region beyond the end of the
// file. Every number comes from the peer and is hostile until this has passed.
std::optional<std::string> layout_problem(std::span<const Region> regions, uint64_t file_size);
inline constexpr size_t kMaxRegions = 1024;

}  // namespace hot
