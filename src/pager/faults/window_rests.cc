// SPDX-License-Identifier: Apache-2.0
// Queues spans around faults and installs them piece by piece.
#include "pager/faults/window_rests.h"

#include <algorithm>
#include <optional>

#include "pager/kernel/clock.h"

namespace pager {

void WindowRests::add(const PageTable::RegionPages& in, PageSpan span) {
  const uint64_t first = std::max(span.first, in.first_page);
  const uint64_t end = std::min(span.end(), PageTable::end_page(in));
  if (first >= end) {
    return;
  }
  span = {.first = first, .count = end - first};
  const bool known = std::ranges::any_of(rests_, [&](const Rest& rest) {
    return rest.span.first <= span.first && rest.span.end() >= span.end();
  });
  if (!known && rests_.size() < kMostSpans) {
    rests_.push_back({.in = &in, .span = span});
  }
}

void WindowRests::add_if_dense(const PageTable::RegionPages& in, uint64_t page) {
  const auto around = [&](uint64_t pages) {
    const uint64_t first = page - (page - in.first_page) % pages;
    return PageSpan{.first = first, .count = std::min(pages, PageTable::end_page(in) - first)};
  };
  // 128 KiB: the most that one call installs (PageFiller::kMaxBytes).
  constexpr uint64_t kNear = PageFiller::kMaxBytes / hot::kSmallPage;
  // 2 MiB: the span of one page table, and the largest fixed window (Window::kLargest).
  constexpr uint64_t kWide = 512;
  if (const PageSpan wide = around(kWide); touched(in, wide) >= kDenseWide) {
    add(in, wide);
  } else if (const PageSpan near = around(kNear); touched(in, near) >= kDense) {
    add(in, near);
  }
}

// Returns the number of installed pages, or 0 if all are. Holes are filled in blocks, so their
// pages do not count as touched either.
uint64_t WindowRests::touched(const PageTable::RegionPages& in, const PageSpan& span) const {
  const uint64_t start = PageTable::offset_of(in, span.first);
  const uint64_t data = image_.data().data_bytes(start, start + span.count * hot::kSmallPage);
  const uint64_t holes = span.count - std::min(span.count, data / hot::kSmallPage);
  const uint64_t there = table_.count_installed(span.first, span.count);
  return there < span.count ? there - std::min(there, holes) : 0;
}

// The guest will probably need these pages next, so they are read at full pace.
void WindowRests::read_cold_pages(const Rest& rest, uint64_t page) {
  // Shorter than a read of the disk, and longer than it takes to ask.
  constexpr uint64_t kColdWaitNs = 100 * kMicrosecond;
  to_read_.clear();
  for (; page < rest.span.end(); ++page) {
    if (table_.untouched(page)) {
      to_read_.push_back(page);
    }
  }
  cold_.read(this, table_, to_read_, ColdReader::Pace::full);
  due_ns_ = monotonic_ns() + kColdWaitNs;
}

Stop WindowRests::piece(uint64_t bytes) {
  Rest& rest = rests_.front();
  const uint64_t end = rest.span.end();
  const uint64_t page_size = rest.in->region.page_size;
  const uint64_t room = credit_.room(0) / page_size;
  if (room == 0) {
    rests_.pop_front();
    return Stop::done;
  }
  const uint64_t most = std::min(room, PageFiller::pages_in(bytes, *rest.in));
  uint64_t page = rest.span.first;
  for (selected_.clear(); page < end && selected_.size() < most; ++page) {
    if (table_.untouched(page)) {
      selected_.push_back(page);
    }
  }
  due_ns_ = 0;
  if (const size_t ready = cold_.ready(*rest.in, selected_); ready < selected_.size()) {
    page = selected_[ready];
    selected_.resize(ready);
  }
  if (selected_.empty() && page < end) {
    if (table_.untouched(page)) {
      read_cold_pages(rest, page);
    }
    rest.span = {.first = page, .count = end - page};
    return Stop::done;
  }
  const uint64_t before = counters_.get(Count::pages_copied);
  const Stop stop = filler_.prefetch(*rest.in, selected_);
  credit_.add_installed((counters_.get(Count::pages_copied) - before) * page_size);
  if (stop != Stop::again) {
    rest.span = {.first = page, .count = end - page};
    if (page == end) {
      rests_.pop_front();
    }
  }
  return stop;
}

}  // namespace pager
