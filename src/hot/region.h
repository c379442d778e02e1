// SPDX-License-Identifier: Apache-2.0
// Regions: where guest memory lies, in the VMM's address space and in the memory file.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace hot {

// The sizes of a page of guest memory. kSmallPage is also the unit of image.json and of hot lists.
// Nothing else defines them.
inline constexpr uint64_t kSmallPage = 4096;
inline constexpr uint64_t kHugePage = uint64_t{2} << 20U;

// One region, as in Firecracker's handshake (GuestRegionUffdMapping). All fields are in bytes.
// `base` is an address in the VMM. `offset` is the position in the memory file; for x86 guests
// above 3 GiB it differs from the guest's physical address. A copy never crosses the end of a
// region.
struct Region {
  uint64_t base = 0;
  uint64_t size = 0;
  uint64_t offset = 0;
  uint64_t page_size = kSmallPage;

  uint64_t end() const { return base + size; }
  bool contains(uint64_t address) const { return address >= base && address - base < size; }
  bool operator==(const Region&) const = default;
};

// Returns the region that contains `address`, or nullptr. The search is linear because a guest has
// few regions.
inline const Region* find_region(std::span<const Region> regions, uint64_t address) {
  const auto found =
      std::ranges::find_if(regions, [&](const Region& r) { return r.contains(address); });
  return found == regions.end() ? nullptr : &*found;
}

// Describes what is wrong with a layout for a memory file of `file_size` bytes, or returns nothing:
// no regions; more than kMaxRegions; a page size other than 4 KiB and 2 MiB; an empty region; an
// unaligned or overflowing base, size or offset; regions that overlap in addresses or in the file;
// a region beyond the end of the file. The numbers come from the peer and are hostile until this
// check has passed.
std::optional<std::string> layout_problem(std::span<const Region> regions, uint64_t file_size);
inline constexpr size_t kMaxRegions = 1024;

}  // namespace hot
