// SPDX-License-Identifier: Apache-2.0
// The order in which the pages of hot lists are installed, and the record of that in the state.
#include "pager/faults/hot_installer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "pager/kernel/clock.h"

namespace pager {

void HotInstaller::take_over(std::span<const std::shared_ptr<const HotFile>> lists) {
  const uint64_t next = state_.next;
  more_.assign(lists.begin(), lists.end());
  const bool first_is_there = !lists.empty() && lists.front();
  start_next();
  if (first_is_there && hot_ == lists.front()) {
    next_entry_ = next;
    state_.next = next;
    seek();
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
    hot::check_hot_list(list->list, regions, list->path);
  } catch (const base::Error& error) {
    counters_.add(Count::hot_list_refused);
    counters_.add(Count::hot_lists_ended);
    log_.warn(std::string(error.what()) + "; serving without it");
    return;
  }
  hot_ = std::move(list);
  listed_ = hot_;
  next_entry_ = 0;
  seek();
  trace_list();
  state_.next = 0;
  chunk_.clear();
  next_in_chunk_ = 0;
  record();
}

// Finds the run of next_entry_.
void HotInstaller::seek() {
  const std::vector<hot::HotRun>& runs = hot_->list.runs;
  next_run_ = 0;
  next_in_run_ = next_entry_;
  while (next_run_ < runs.size() && next_in_run_ >= runs[next_run_].count) {
    next_in_run_ -= runs[next_run_++].count;
  }
}

// The pages of a list do not fault, so a list that is recorded from the trace would lack them.
void HotInstaller::trace_list() {
  if (trace_ == nullptr) {
    return;
  }
  for (const hot::HotRun& run : hot_->list.runs) {
    const hot::Region& region = table_.regions()[run.region].region;
    trace_->listed((region.offset + run.offset) / region.page_size, run.count);
  }
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
    state_.next = hot_->pages;
    if (report) {
      log_.warn("the VMM has reached its memory limit; the rest of the hot list is dropped");
    }
  }
  counters_.add(Count::hot_lists_ended, more_.size() + (hot_ ? 1 : 0));
  reader_.reset();
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
  const std::vector<hot::HotRun>& runs = hot_->list.runs;
  while (next_run_ < runs.size() && chunk_.size() < kChunk) {
    const hot::HotRun& run = runs[next_run_];
    const PageTable::RegionPages& in = table_.regions()[run.region];
    const uint64_t first = in.first_page + run.offset / in.region.page_size;
    for (; next_in_run_ < run.count && chunk_.size() < kChunk; ++next_in_run_, ++next_entry_) {
      chunk_.push_back(first + next_in_run_);
    }
    if (next_in_run_ == run.count) {
      ++next_run_;
      next_in_run_ = 0;
    }
  }
  std::ranges::sort(chunk_);
  chunk_.erase(std::unique(chunk_.begin(), chunk_.end()), chunk_.end());
  chunk_is_read_ = false;
  image_.residency().expire();
}

// Whether the page at chunk_[at] can be installed, or skipped, without waiting for the disk. Asks
// the kernel for up to `most` adjacent pages at once. A hole is not read, and a page that was
// removed or installed is not prefetched.
bool HotInstaller::is_ready(const PageTable::RegionPages& in, size_t at, uint64_t most) const {
  const uint64_t page = chunk_[at];
  const uint64_t offset = PageTable::offset_of(in, page);
  if (!table_.untouched(page) || image_.residency().known(offset, in.region.page_size) ||
      filler_.is_zero(in, page)) {
    return true;
  }
  uint64_t count = 1;
  while (count < most && at + count < chunk_.size() && chunk_[at + count] == page + count &&
         page + count < PageTable::end_page(in)) {
    ++count;
  }
  return image_.is_cached(offset, count * in.region.page_size) ||
         (count > 1 && image_.is_cached(offset, in.region.page_size));
}

// Gives the rest of the chunk to the reader, once.
void HotInstaller::read_cold_pages() {
  if (std::exchange(chunk_is_read_, true)) {
    return;
  }
  std::vector<ColdReader::Range> ranges;
  for (size_t i = next_in_chunk_; i < chunk_.size(); ++i) {
    const PageTable::RegionPages& in = table_.region_of_page(chunk_[i]);
    if (!table_.untouched(chunk_[i]) || filler_.is_zero(in, chunk_[i])) {
      continue;
    }
    const uint64_t offset = PageTable::offset_of(in, chunk_[i]);
    if (!ranges.empty() && ranges.back().offset + ranges.back().bytes == offset) {
      ranges.back().bytes += in.region.page_size;
    } else {
      ranges.push_back({.offset = offset, .bytes = in.region.page_size});
    }
  }
  if (!reader_) {
    reader_ = std::make_unique<ColdReader>(image_, counters_);
  }
  reader_->read(std::move(ranges));
}

Stop HotInstaller::piece(uint64_t bytes) {
  if (next_in_chunk_ == chunk_.size()) {
    next_chunk();
    if (chunk_.empty()) {
      log_.detail("hot list installed");
      counters_.add(Count::hot_lists_ended);
      reader_.reset();
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
    if (!is_ready(in, next, most)) {
      break;
    }
    if (table_.untouched(chunk_[next])) {
      selected_.push_back(chunk_[next]);
    }
  }
  constexpr uint64_t kColdWaitNs = kMillisecond;
  due_ns_ = 0;
  if (next == next_in_chunk_) {
    read_cold_pages();
    due_ns_ = monotonic_ns() + kColdWaitNs;
    return Stop::done;
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
