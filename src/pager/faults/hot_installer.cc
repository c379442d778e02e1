// SPDX-License-Identifier: Apache-2.0
// The order in which the pages of hot lists are installed, and the record of that in the state.
#include "pager/faults/hot_installer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"

namespace pager {

void HotInstaller::take_over(std::span<const std::shared_ptr<const HotFile>> lists) {
  const uint64_t next = state_.next;
  more_.assign(lists.begin(), lists.end());
  const bool first_is_there = !lists.empty() && lists.front();
  start_next();
  if (first_is_there && hot_ == lists.front()) {
    next_entry_ = next;
    state_.next = next;
  }
}

void HotInstaller::add(std::shared_ptr<const HotFile> list) {
  if (hot_ && more_.size() + 1 == SessionState::kHotLists) {
    counters_.add(Count::hot_lists_ended);
    log_.warn("cannot install hot list " + base::quoted(list->path) + ": " +
              std::to_string(SessionState::kHotLists) + " other lists are in progress");
  } else if (hot_) {
    more_.push_back(std::move(list));
    record();
  } else {
    start(std::move(list));
  }
}

void HotInstaller::start(std::shared_ptr<const HotFile> list) {
  std::vector<hot::Region> regions;
  std::ranges::transform(table_.regions(), std::back_inserter(regions),
                         &PageTable::RegionPages::region);
  try {
    hot::check_hot_list(list->pages, regions, list->path);
  } catch (const base::BadData& error) {
    counters_.add(Count::hot_list_refused);
    counters_.add(Count::hot_lists_ended);
    log_.warn(std::string(error.what()) + "; serving without it");
    return;
  }
  hot_ = std::move(list);
  listed_ = hot_;
  next_entry_ = 0;
  state_.next = 0;
  chunk_.clear();
  next_in_chunk_ = 0;
  record();
}

// Starts the first of the following lists that fits.
void HotInstaller::start_next() {
  hot_.reset();
  while (!hot_ && !more_.empty()) {
    std::shared_ptr<const HotFile> list = std::move(more_.front());
    more_.pop_front();
    if (list) {
      start(std::move(list));
    }
  }
}

void HotInstaller::drop(bool report) {
  if (hot_) {
    state_.next = hot_->pages.size();
    if (report) {
      log_.warn("the VMM has reached its memory limit; the rest of the hot list is dropped");
    }
  }
  counters_.add(Count::hot_lists_ended, more_.size() + (hot_ ? 1 : 0));
  hot_.reset();
  more_.clear();
  record();
}

void HotInstaller::record() {
  state_.count = 0;  // no list is valid while they change
  uint32_t count = 0;
  if (listed_) {
    state_.paths[count++].set(listed_->path);
  }
  for (const std::shared_ptr<const HotFile>& list : more_) {
    state_.paths[count++].set(list->path);
  }
  state_.count = count;
}

void HotInstaller::count_fault(const PageTable::RegionPages& in, uint64_t page) {
  const auto region = static_cast<uint32_t>(&in - table_.regions().data());
  const uint64_t offset = (page - in.first_page) * in.region.page_size;
  if (listed_ && !listed_->lists({.region = region, .offset = offset})) {
    counters_.add(Count::faults_unlisted);
  }
}

// Sorts the next part of the list by address, so that adjacent pages need one call and the kernel's
// page table walks are short. A part has 4096 entries (16 MiB of small pages) and takes about 10
// ms, so pages that the guest touches first are still installed first.
void HotInstaller::next_chunk() {
  constexpr size_t kChunk = 4096;
  chunk_.clear();
  next_in_chunk_ = 0;
  state_.next = next_entry_;
  for (; next_entry_ < hot_->pages.size() && chunk_.size() < kChunk; ++next_entry_) {
    const hot::HotPage& hot = hot_->pages[next_entry_];
    const PageTable::RegionPages& in = table_.regions()[hot.region];
    chunk_.push_back(in.first_page + hot.offset / in.region.page_size);
  }
  std::ranges::sort(chunk_);
  chunk_.erase(std::unique(chunk_.begin(), chunk_.end()), chunk_.end());
}

Stop HotInstaller::piece(uint64_t bytes) {
  if (next_in_chunk_ == chunk_.size()) {
    next_chunk();
    if (chunk_.empty()) {
      log_.detail("hot list installed");
      counters_.add(Count::hot_lists_ended);
      start_next();
      return Stop::done;
    }
  }
  const PageTable::RegionPages& in = table_.region_of_page(chunk_[next_in_chunk_]);
  const uint64_t most = PageFiller::pages_in(bytes, in);
  size_t next = next_in_chunk_;
  for (selected_.clear();
       next < chunk_.size() && chunk_[next] < PageTable::end_page(in) && selected_.size() < most;
       ++next) {
    if (table_.untouched(chunk_[next])) {
      selected_.push_back(chunk_[next]);
    }
  }
  const uint64_t before = counters_.get(Count::pages_copied) + counters_.get(Count::pages_zeroed);
  const Stop stop = filler_.prefetch(in, selected_);
  counters_.add(Count::pages_prefetched,
                counters_.get(Count::pages_copied) + counters_.get(Count::pages_zeroed) - before);
  if (stop != Stop::again) {
    next_in_chunk_ = next;  // after `again`, installed pages are skipped next time
  }
  return stop;
}

}  // namespace pager
