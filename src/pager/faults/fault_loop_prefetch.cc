// SPDX-License-Identifier: Apache-2.0
// FaultLoop: what it installs while no fault waits: the rest of windows, and hot lists.
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
  // With a hot list, the number of installed pages does not show what the guest touches.
  if (!window_.is_automatic() || listed_ || in.region.page_size != hot::kSmallPage) {
    return;
  }
  const auto around = [&](uint64_t pages) {
    const uint64_t first = page - (page - in.first_page) % pages;
    return PageSpan{.first = first, .count = std::min(pages, PageTable::end_page(in) - first)};
  };
  // Holes are filled in blocks, so their pages do not count as touched either.
  const auto touched = [&](const PageSpan& span) {
    const uint64_t start = PageTable::offset_of(in, span.first);
    const uint64_t data =
        parts_.image.data().data_bytes(start, start + span.count * hot::kSmallPage);
    const uint64_t holes = span.count - std::min(span.count, data / hot::kSmallPage);
    const uint64_t there = table_.count_installed(span.first, span.count);
    return there < span.count ? there - std::min(there, holes) : 0;
  };
  // 128 KiB: the most that one call installs (PageFiller::kMaxBytes).
  constexpr uint64_t kNear = PageFiller::kMaxBytes / hot::kSmallPage;
  // 2 MiB: the span of one page table, and the largest fixed window (Window::kLargest).
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
  // At most 128 MiB of pending spans. If the queue is full, the guest faults faster than the server
  // installs, and further spans would be installed too late.
  constexpr size_t kMost = 64;
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

// Records the lists in the state. A successor skips the pages that are already installed.
void FaultLoop::record_lists() {
  SessionState& state = parts_.state;
  state.hot_lists_count = 0;  // no list is valid while they change
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
    parts_.log.warn("cannot install hot list " + base::quoted(list->path) + ": " +
                    std::to_string(SessionState::kHotLists) + " other lists are in progress");
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

// Installs one piece that no fault waits for.
void FaultLoop::do_idle_work() {
  idle_blocked_ = false;
  if (!rest_.empty()) {
    rest_piece();
  } else if (hot_) {
    hot_piece();
  } else {
    completion_piece();
  }
}

// A fault that arrives during a piece waits for the end of that piece. Measured: 128 KiB take 45
// us, a fault takes 10 us. So while the guest faults, a piece is a quarter of kMaxBytes (32 KiB). A
// piece of the full size has half the overhead per page and is used after 2 ms without a fault,
// which is 200 times the duration of a fault.
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
  if (fill_selected(*rest.in) != Stop::again) {
    rest.span = {.first = page, .count = end - page};
    if (page == end) {
      rest_.pop_front();
    }
  }
}

// Sorts the next part of the list by address, so that adjacent pages need one call and the kernel's
// page table walks are short. A part has 4096 entries (16 MiB of small pages) and takes about 10
// ms, so pages that the guest touches first are still installed first.
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

// Starts the first of the following lists that fits.
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
  const Stop stop = fill_selected(in);
  parts_.counters.add(
      Count::pages_prefetched,
      parts_.counters.get(Count::pages_copied) + parts_.counters.get(Count::pages_zeroed) - before);
  if (stop != Stop::again) {
    next_in_chunk_ = next;  // after `again`, installed pages are skipped next time
  }
}

// Installs the selected pages. Pages that cannot be read or installed are left to later faults,
// which report the error.
Stop FaultLoop::fill_selected(const PageTable::RegionPages& in) {
  if (selected_.empty()) {
    return Stop::done;
  }
  const Stop stop = filler_.fill(in, selected_, std::nullopt, 0).stop;
  if (stop == Stop::again) {
    idle_blocked_ = true;
  } else if (stop == Stop::over) {
    over_ = true;
  } else if (stop == Stop::no_memory) {
    if (hot_ && !completing()) {
      parts_.log.warn("the VMM has reached its memory limit; the rest of the hot list is dropped");
    }
    drop_lists();
    rest_.clear();
  }
  return stop;
}

}  // namespace pager
