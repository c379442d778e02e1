// SPDX-License-Identifier: Apache-2.0
// The part of FaultLoop that uses the gaps between faults: for the rest of windows and for hot
// lists. A completion is in a file of its own.
#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "pager/faults/fault_loop.h"
#include "pager/kernel/clock.h"

namespace pager {

void FaultLoop::queue_rest(const PageTable::RegionPages& in, uint64_t page, const PageSpan& later) {
  if (later.count > 0) {
    queue(in, later);
  }
  // What a hot list has installed says nothing about what the guest touches.
  if (!window_.is_automatic() || listed_ || in.region.page_size != hot::kSmallPage) {
    return;
  }
  const auto around = [&](uint64_t pages) {
    const uint64_t first = page - (page - in.first_page) % pages;
    return PageSpan{.first = first, .count = std::min(pages, PageTable::end_page(in) - first)};
  };
  // Pages of holes were filled in blocks, and say nothing either.
  const auto touched = [&](const PageSpan& span) {
    const uint64_t start = PageTable::offset_of(in, span.first);
    const uint64_t data =
        parts_.image.data().data_bytes(start, start + span.count * hot::kSmallPage);
    const uint64_t holes = span.count - std::min(span.count, data / hot::kSmallPage);
    const uint64_t there = table_.count_installed(span.first, span.count);
    return there < span.count ? there - std::min(there, holes) : 0;
  };
  constexpr uint64_t kNear = 32;
  constexpr uint64_t kWide = 512;
  if (const PageSpan wide = around(kWide); touched(wide) >= kDenseWide) {
    queue(in, wide);
  } else if (const PageSpan near = around(kNear); touched(near) >= kDense) {
    queue(in, near);
  }
}

void FaultLoop::queue(const PageTable::RegionPages& in, PageSpan span) {
  const uint64_t first = std::max(span.first, in.first_page);
  const uint64_t end = std::min(span.end(), PageTable::end_page(in));
  if (first >= end) {
    return;
  }
  span = {.first = first, .count = end - first};
  constexpr size_t kMost = 64;  // more only means that the guest is faster than we are
  const bool known = std::ranges::any_of(rest_, [&](const Rest& rest) {
    return rest.span.first <= span.first && rest.span.end() >= span.end();
  });
  if (!known && rest_.size() < kMost) {
    rest_.push_back({.in = &in, .span = span});
  }
}

void FaultLoop::prefetch(std::shared_ptr<const HotFile> list) {
  std::vector<hot::Region> regions;
  std::ranges::transform(table_.regions(), std::back_inserter(regions),
                         &PageTable::RegionPages::region);
  try {
    hot::check_hot_list(list->pages, regions, list->path);
  } catch (const base::BadData& error) {
    parts_.counters.add(Count::hot_list_refused);
    parts_.counters.add(Count::hot_lists_ended);
    parts_.log.warn(std::string(error.what()) + "; serving without it");
    return;
  }
  hot_ = std::move(list);
  listed_ = hot_;
  next_hot_ = 0;
  parts_.state.hot_next = 0;
  chunk_.clear();
  next_in_chunk_ = 0;
  record_lists();
}

void FaultLoop::drop_lists() {
  if (hot_) {
    parts_.state.hot_next = hot_->pages.size();
  }
  parts_.counters.add(Count::hot_lists_ended, more_hot_.size() + (hot_ ? 1 : 0));
  hot_.reset();
  more_hot_.clear();
  record_lists();
}

// For a successor, which passes over what is there.
void FaultLoop::record_lists() {
  SessionState& state = parts_.state;
  state.hot_lists_count = 0;  // while it is written
  uint32_t count = 0;
  if (listed_) {
    state.hot_lists[count++].set(listed_->path);
  }
  for (const std::shared_ptr<const HotFile>& list : more_hot_) {
    state.hot_lists[count++].set(list->path);
  }
  state.hot_lists_count = count;
}

void FaultLoop::prefetch_more(std::shared_ptr<const HotFile> list) {
  parts_.state.paused = 0;
  if (completion_) {
    completion_->set(Completion::State::running);
  }
  if (!list) {
    return;
  }
  if (hot_ && more_hot_.size() + 1 == SessionState::kHotLists) {
    parts_.counters.add(Count::hot_lists_ended);
    parts_.log.warn("hot list " + base::quoted(list->path) + " is not installed: " +
                    std::to_string(SessionState::kHotLists) + " others are under way");
  } else if (hot_) {
    more_hot_.push_back(std::move(list));
    record_lists();
  } else {
    prefetch(std::move(list));
  }
}

void FaultLoop::pause() {
  parts_.state.paused = 1;
  if (completion_) {
    completion_->set(Completion::State::paused);
  }
}

// One piece of what nobody waits for.
void FaultLoop::work_in_gap() {
  gap_blocked_ = false;
  if (!rest_.empty()) {
    rest_piece();
  } else if (hot_) {
    hot_piece();
  } else {
    completion_piece();
  }
}

// A fault that comes during a piece waits for the rest of it. While a guest faults all the time, on
// a core that does not halt, that is felt: 128 KiB take 45 us, a fault 10. It halves the overhead
// of a piece to make it four times as large, so that is for quiet times.
uint64_t FaultLoop::piece_pages(const PageTable::RegionPages& in) const {
  constexpr uint64_t kRecent = 2 * kMillisecond;
  const uint64_t most = std::max(uint64_t{1}, PageFiller::kMaxBytes / in.region.page_size);
  return moment_ns_ - last_fault_ns_ < kRecent ? std::max(uint64_t{1}, most / 4) : most;
}

void FaultLoop::rest_piece() {
  Rest& rest = rest_.front();
  const uint64_t end = rest.span.end();
  uint64_t page = rest.span.first;
  const uint64_t most = piece_pages(*rest.in);
  for (selected_.clear(); page < end && selected_.size() < most; ++page) {
    if (table_.untouched(page)) {
      selected_.push_back(page);
    }
  }
  if (fill_in_gap(*rest.in) != Stop::again) {
    rest.span = {.first = page, .count = end - page};
    if (page == end) {
      rest_.pop_front();
    }
  }
}

// Part of the list in the order of addresses: neighbours go in one call, and the kernel's walks are
// short. A chunk is installed in some 10 ms, so what is touched first still comes first.
void FaultLoop::next_chunk() {
  constexpr size_t kChunk = 4096;
  chunk_.clear();
  next_in_chunk_ = 0;
  parts_.state.hot_next = next_hot_;
  for (; next_hot_ < hot_->pages.size() && chunk_.size() < kChunk; ++next_hot_) {
    const hot::HotPage& hot = hot_->pages[next_hot_];
    const PageTable::RegionPages& in = table_.regions()[hot.region];
    chunk_.push_back(in.first_page + hot.offset / in.region.page_size);
  }
  std::ranges::sort(chunk_);
  chunk_.erase(std::unique(chunk_.begin(), chunk_.end()), chunk_.end());
}

// The first of those that follow which fits.
void FaultLoop::next_list() {
  hot_.reset();
  while (!hot_ && !more_hot_.empty()) {
    std::shared_ptr<const HotFile> list = std::move(more_hot_.front());
    more_hot_.pop_front();
    if (list) {
      prefetch(std::move(list));
    }
  }
}

void FaultLoop::hot_piece() {
  if (next_in_chunk_ == chunk_.size()) {
    next_chunk();
    if (chunk_.empty()) {
      parts_.log.detail("hot list installed");
      parts_.counters.add(Count::hot_lists_ended);
      next_list();
      return;
    }
  }
  const PageTable::RegionPages& in = table_.region_of_page(chunk_[next_in_chunk_]);
  const uint64_t most = piece_pages(in);
  size_t next = next_in_chunk_;
  for (selected_.clear();
       next < chunk_.size() && chunk_[next] < PageTable::end_page(in) && selected_.size() < most;
       ++next) {
    if (table_.untouched(chunk_[next])) {
      selected_.push_back(chunk_[next]);
    }
  }
  const uint64_t before =
      parts_.counters.get(Count::pages_copied) + parts_.counters.get(Count::pages_zeroed);
  const Stop stop = fill_in_gap(in);
  parts_.counters.add(
      Count::pages_prefetched,
      parts_.counters.get(Count::pages_copied) + parts_.counters.get(Count::pages_zeroed) - before);
  if (stop != Stop::again) {
    next_in_chunk_ = next;  // else what was installed is passed over the next time
  }
}

// Installs what is selected. What cannot be read or installed is left to the faults, which report
// it.
Stop FaultLoop::fill_in_gap(const PageTable::RegionPages& in) {
  if (selected_.empty()) {
    return Stop::done;
  }
  const Stop stop = filler_.fill(in, selected_, std::nullopt, 0).stop;
  if (stop == Stop::again) {
    gap_blocked_ = true;
  } else if (stop == Stop::over) {
    over_ = true;
  } else if (stop == Stop::no_memory) {
    if (hot_ && !completing()) {
      parts_.log.warn("the VMM may not have more memory; the rest of the hot list is dropped");
    }
    drop_lists();
    rest_.clear();
  }
  return stop;
}

}  // namespace pager
