// SPDX-License-Identifier: Apache-2.0
// Asks the kernel for adjacent pages at once, and joins pages into ranges for the reader.
#include "pager/faults/cold_pages.h"

#include <utility>

namespace pager {

size_t ColdPages::ready(const PageTable::RegionPages& in, std::span<const uint64_t> pages) const {
  image_.residency().expire();
  const uint64_t page_size = in.region.page_size;
  const auto is_cached = [&](size_t at, uint64_t count) {
    return image_.is_cached(PageTable::offset_of(in, pages[at]), count * page_size);
  };
  size_t at = 0;
  while (at < pages.size()) {
    if (filler_.is_zero(in, pages[at])) {
      ++at;
      continue;
    }
    uint64_t count = 1;
    while (at + count < pages.size() && pages[at + count] == pages[at] + count &&
           !filler_.is_zero(in, pages[at + count])) {
      ++count;
    }
    if (is_cached(at, count)) {
      at += count;
      continue;
    }
    for (uint64_t i = 0; i < count; ++i, ++at) {
      if (count == 1 || !is_cached(at, 1)) {
        return at;
      }
    }
  }
  return at;
}

void ColdPages::read(const void* user, const PageTable& table, std::span<const uint64_t> pages,
                     ColdReader::Pace pace) {
  if (!reader_) {
    reader_ = std::make_unique<ColdReader>(image_, counters_);
  } else if (user_ == user && !reader_->idle()) {
    return;
  }
  user_ = user;
  std::vector<ColdReader::Range> ranges;
  for (const uint64_t page : pages) {
    const PageTable::RegionPages& in = table.region_of_page(page);
    if (filler_.is_zero(in, page)) {
      continue;
    }
    const uint64_t offset = PageTable::offset_of(in, page);
    if (!ranges.empty() && ranges.back().offset + ranges.back().bytes == offset) {
      ranges.back().bytes += in.region.page_size;
    } else {
      ranges.push_back({.offset = offset, .bytes = in.region.page_size});
    }
  }
  reader_->read(std::move(ranges), pace);
}

void ColdPages::rest() {
  if (reader_ && reader_->idle()) {
    reader_.reset();
  }
}

}  // namespace pager
