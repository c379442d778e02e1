// SPDX-License-Identifier: Apache-2.0
// Allocates session states and maintains their page bitmaps.
#include "pager/faults/session_state.h"

#include <sys/mman.h>

#include <algorithm>

#include "base/error.h"
#include "pager/kernel/invariant.h"

namespace pager {
namespace {

std::byte* bytes_of(SessionState& state) {
  return reinterpret_cast<std::byte*>(&state);
}

std::span<uint64_t> bitmap_at(SessionState& state, uint64_t offset) {
  return {reinterpret_cast<uint64_t*>(bytes_of(state) + offset),
          PageBitmap::words_for(state.page_count)};
}

std::span<SessionState::RegionPages> regions_at(SessionState& state) {
  return {reinterpret_cast<SessionState::RegionPages*>(bytes_of(state) + state.regions_at),
          state.region_count};
}

}  // namespace

void PathText::set(std::string_view path) {
  require(path.size() < bytes.size(), "the path of an open file is too long");
  *std::ranges::copy(path, bytes.begin()).out = '\0';
}

StateMapping::StateMapping(std::span<const hot::Region> regions, const ImageIdentity& image) {
  uint64_t pages = 0;
  for (const hot::Region& region : regions) {
    pages += region.size / region.page_size;
  }
  const uint64_t bitmap_bytes = PageBitmap::words_for(pages) * sizeof(uint64_t);
  const uint64_t regions_at_byte = sizeof(SessionState);
  const uint64_t removed_at = regions_at_byte + regions.size() * sizeof(SessionState::RegionPages);
  const uint64_t total = removed_at + 3 * bitmap_bytes;
  void* memory = ::mmap(nullptr, total, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    base::throw_errno("cannot allocate " + std::to_string(total) + " bytes for a session");
  }
  // All other fields are 0, as the memory is. Untouched parts use no memory.
  state_ = static_cast<SessionState*>(memory);
  state_->magic = SessionState::kMagic;
  state_->version = SessionState::kVersion;
  state_->region_count = static_cast<uint32_t>(regions.size());
  state_->page_count = pages;
  state_->total_bytes = total;
  state_->regions_at = regions_at_byte;
  state_->removed_at = removed_at;
  state_->installed_at = removed_at + bitmap_bytes;
  state_->poisoned_at = removed_at + 2 * bitmap_bytes;
  state_->image = image;
  state_->read_attempts = kReadAttempts;
  uint64_t first_page = 0;
  std::ranges::transform(regions, regions_at(*state_).begin(), [&](const hot::Region& region) {
    const SessionState::RegionPages entry{.region = region, .first_page = first_page};
    first_page += region.size / region.page_size;
    return entry;
  });
}

StateMapping::~StateMapping() {
  ::munmap(state_, state_->total_bytes);
}

PageTable::PageTable(SessionState& state)
    : regions_(regions_at(state)),
      page_count_(state.page_count),
      removed_(bitmap_at(state, state.removed_at)),
      installed_(bitmap_at(state, state.installed_at)),
      poisoned_(bitmap_at(state, state.poisoned_at)) {}

const PageTable::RegionPages* PageTable::region_of_address(uint64_t address) const {
  const auto found = std::ranges::find_if(
      regions_, [&](const RegionPages& entry) { return entry.region.contains(address); });
  return found == regions_.end() ? nullptr : &*found;
}

const PageTable::RegionPages& PageTable::region_of_page(uint64_t page) const {
  const auto next = std::ranges::upper_bound(regions_, page, {}, &RegionPages::first_page);
  require(next != regions_.begin(), "a page is outside of all regions");
  return *std::prev(next);
}

void PageTable::recount() {
  installed_bytes_ = 0;
  poisoned_pages_ = 0;
  for (const RegionPages& entry : regions_) {
    const uint64_t pages = end_page(entry) - entry.first_page;
    installed_bytes_ += installed_.count(entry.first_page, pages) * entry.region.page_size;
    poisoned_pages_ += poisoned_.count(entry.first_page, pages);
  }
}

uint64_t PageTable::mark_removed(uint64_t start, uint64_t end) {
  uint64_t newly = 0;
  for (const RegionPages& entry : regions_) {
    const hot::Region& region = entry.region;
    const uint64_t low = std::max(start, region.base);
    const uint64_t high = std::min(end, region.end());
    if (low >= high) {
      continue;
    }
    // If the guest discards a part of a 2 MiB page, the page stays. Only whole pages are removed.
    const uint64_t first = (low - region.base + region.page_size - 1) / region.page_size;
    const uint64_t last = (high - region.base) / region.page_size;
    if (first < last) {
      newly += removed_.set(entry.first_page + first, last - first);
      installed_bytes_ -=
          installed_.clear(entry.first_page + first, last - first) * region.page_size;
      forget_poison(entry.first_page + first, last - first);  // the kernel drops the marker, too
    }
  }
  return newly;
}

}  // namespace pager
