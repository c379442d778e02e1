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
  if (hot_->packed && !hot_->packed->is_of(image_.identity())) {
    log_.warn("cannot use the pages in packed hot list " + base::quoted(hot_->path) +
              ": it was packed from another file, or " + base::quoted(image_.path()) +
              " was written to since; its pages are read from the image");
  }
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
  if (packed_) {
    packed_->stop();
    ending_ = std::move(packed_);
  }
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
// ms, so pages that the guest touches first are still installed first. Of a packed list, it is one
// piece.
void HotInstaller::next_chunk() {
  constexpr uint64_t kChunk = 4096;
  chunk_.clear();
  next_in_chunk_ = 0;
  state_.next = next_entry_;
  uint64_t most = kChunk;
  if (packed_) {
    const uint64_t piece = hot_->packed->piece_pages();
    most = piece - next_entry_ % piece;
  }
  const std::vector<hot::HotRun>& runs = hot_->list.runs;
  while (next_run_ < runs.size() && chunk_.size() < most) {
    const hot::HotRun& run = runs[next_run_];
    const PageTable::RegionPages& in = table_.regions()[run.region];
    const uint64_t first = in.first_page + run.offset / in.region.page_size;
    for (; next_in_run_ < run.count && chunk_.size() < most; ++next_in_run_, ++next_entry_) {
      chunk_.push_back({.page = first + next_in_run_, .place = chunk_.size()});
    }
    if (next_in_run_ == run.count) {
      ++next_run_;
      next_in_run_ = 0;
    }
  }
  std::ranges::sort(chunk_);
  const auto repeats = std::ranges::unique(chunk_, {}, &Entry::page);
  chunk_.erase(repeats.begin(), repeats.end());
}

// Selects at most `most` untouched pages of one region. A page that was removed or installed is not
// prefetched. Returns the end of what was examined, in chunk_.
size_t HotInstaller::select(const PageTable::RegionPages& in, uint64_t most) {
  size_t at = next_in_chunk_;
  selected_.clear();
  pages_.clear();
  for (; at < chunk_.size() && chunk_[at].page < PageTable::end_page(in) && pages_.size() < most;
       ++at) {
    if (table_.untouched(chunk_[at].page)) {
      selected_.push_back(at);
      pages_.push_back(chunk_[at].page);
    }
  }
  return at;
}

// Has the rest of the chunk read from the image.
void HotInstaller::read_cold_pages() {
  std::vector<uint64_t> pages;
  for (size_t i = next_in_chunk_; i < chunk_.size(); ++i) {
    if (table_.untouched(chunk_[i].page)) {
      pages.push_back(chunk_[i].page);
    }
  }
  cold_.read(this, table_, pages, ColdReader::Pace::polite);
}

// Continues at the start of the piece that has the first entry of the chunk. What is installed is
// skipped.
void HotInstaller::begin_packed() {
  const uint64_t piece = state_.next / hot_->packed->piece_pages();
  packed_ = std::make_unique<PackedReader>(hot_->packed, piece, counters_);
  next_entry_ = piece * hot_->packed->piece_pages();
  state_.next = next_entry_;
  seek();
  chunk_.clear();
  next_in_chunk_ = 0;
}

// Installs the selected pages, from the packed file or the image. Sets `waits` if they are not
// there yet; else selected_ is what was tried.
Stop HotInstaller::install(const PageTable::RegionPages& in, bool& waits) {
  if (!packed_) {
    const size_t ready = cold_.ready(in, pages_);
    waits = ready == 0 && !pages_.empty();
    selected_.resize(ready);
    pages_.resize(ready);
    return waits ? Stop::done : filler_.prefetch(in, pages_);
  }
  const uint64_t index = state_.next / hot_->packed->piece_pages();
  const uint64_t skipped = state_.next % hot_->packed->piece_pages();
  const PackedFile::Read read = packed_->get(index);
  waits = !read.piece;
  if (!read.problem.empty()) {
    refuse_pages(read.problem);
  }
  if (waits) {
    return Stop::done;
  }
  contents_.clear();
  for (const size_t at : selected_) {
    contents_.push_back(read.piece->bytes().data() +
                        (skipped + chunk_[at].place) * in.region.page_size);
  }
  return filler_.prefetch_from(in, pages_, contents_);
}

void HotInstaller::refuse_pages(const std::string& problem) {
  counters_.add(Count::hot_list_refused);
  log_.warn("cannot use packed hot list " + base::quoted(hot_->path) + ": " + problem +
            "; serving without the rest of it");
  end_list();
}

// Starts the next list.
void HotInstaller::end_list() {
  counters_.add(Count::hot_lists_ended);
  if (packed_) {
    packed_->stop();
    ending_ = std::move(packed_);
  }
  state_.next = hot_->pages;
  start_next();
}

Stop HotInstaller::piece(uint64_t bytes) {
  due_ns_ = 0;
  if (next_in_chunk_ == chunk_.size()) {
    next_chunk();
    if (chunk_.empty()) {
      log_.detail("hot list installed");
      end_list();
      return Stop::done;
    }
  }
  const PageTable::RegionPages& in = table_.region_of_page(chunk_[next_in_chunk_].page);
  size_t next = select(in, PageFiller::pages_in(bytes, in));
  const size_t wanted = selected_.size();
  const uint64_t before = counters_.get(Count::pages_copied) + counters_.get(Count::pages_zeroed);
  bool waits = false;
  const Stop stop = wanted == 0 ? Stop::done : install(in, waits);
  if (!hot_ || stop == Stop::again) {
    return stop;  // after `again`, installed pages are skipped next time
  }
  counters_.add(Count::pages_prefetched,
                counters_.get(Count::pages_copied) + counters_.get(Count::pages_zeroed) - before);
  if (!waits) {
    next_in_chunk_ = selected_.size() < wanted ? selected_.back() + 1 : next;
    return stop;
  }
  if (!packed_ && hot_->packed && hot_->packed->is_of(image_.identity())) {
    begin_packed();
    return Stop::done;
  }
  if (!packed_) {
    read_cold_pages();
  }
  constexpr uint64_t kColdWaitNs = kMillisecond;
  due_ns_ = monotonic_ns() + kColdWaitNs;
  return Stop::done;
}

}  // namespace pager
