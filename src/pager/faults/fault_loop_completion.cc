// SPDX-License-Identifier: Apache-2.0
// FaultLoop: release of holes at the start, and completion, after which the VMM needs no server.
#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "pager/faults/fault_loop.h"
#include "pager/kernel/clock.h"

namespace pager {
namespace {

// After this number of passes over memory in which the kernel still lacks pages, the completion
// fails.
constexpr uint32_t kMostRounds = 8;

}  // namespace

void FaultLoop::release_holes() {
  // Each released piece in the middle of a mapping splits it and adds two mappings. A process has
  // at most 65,530 of them (vm.max_map_count).
  constexpr int kMost = 1024;
  int left = kMost;
  for (const PageTable::RegionPages& entry : table_.regions()) {
    const hot::Region& region = entry.region;
    const auto release = [&](uint64_t from, uint64_t to) {  // offsets in the file
      const uint64_t start =
          (region.base + (from - region.offset) + hot::kHugePage - 1) & ~(hot::kHugePage - 1);
      const uint64_t end = (region.base + (to - region.offset)) & ~(hot::kHugePage - 1);
      if (start < end && left > 0 && uffd_unregister(parts_.uffd, start, end - start) == 0) {
        --left;
        parts_.counters.add(Count::bytes_released, end - start);
        table_.mark_removed(start, end);  // like removed pages, they read as zeros
      }
    };
    uint64_t at = region.offset;
    const uint64_t end = region.offset + region.size;
    for (const Extent& extent : parts_.image.data().extents()) {
      if (extent.end <= at) {
        continue;
      }
      if (extent.start >= end) {
        break;
      }
      if (extent.start > at) {
        release(at, extent.start);
      }
      at = extent.end;
    }
    if (at < end) {
      release(at, end);
    }
  }
}

void FaultLoop::complete(std::shared_ptr<Completion> completion) {
  if (completion_) {
    completion_->set(Completion::State::failed, "superseded by another request");
  }
  completion_ = std::move(completion);
  complete_not_before_ns_ = 0;
  SessionState& state = parts_.state;
  state.completion_next = 0;
  state.completion_rounds = 0;
  state.completion_rate = completion_->bytes_per_second();
  state.completion = CompletionStage::filling;
  state.paused = 0;
}

void FaultLoop::completion_piece() {
  if (monotonic_ns() < complete_not_before_ns_) {
    return;
  }
  // The most pages that one piece examines. This takes 30 us.
  constexpr uint64_t kLook = 8192;
  SessionState& state = parts_.state;
  if (state.completion_next == state.page_count) {
    verify_completion();
    return;
  }
  const PageTable::RegionPages& in = table_.region_of_page(state.completion_next);
  const uint64_t most = piece_pages(in);
  const uint64_t end = std::min(PageTable::end_page(in), state.completion_next + kLook);
  uint64_t page = state.completion_next;
  for (selected_.clear(); page < end && selected_.size() < most; ++page) {
    if (state.completion == CompletionStage::confirming ? !table_.removed(page)
                                                        : table_.untouched(page)) {
      selected_.push_back(page);
    }
  }
  switch (fill_selected(in)) {
    case Stop::again:
      return;
    case Stop::no_memory:
      end_completion("the VMM has reached its memory limit");
      return;
    case Stop::unreadable:
      end_completion("pages at offset " +
                     std::to_string(PageTable::offset_of(in, selected_.front())) +
                     " and after cannot be read");
      return;
    case Stop::gone:
      pass_over_gone(in);
      return;
    case Stop::failed:
      end_completion("pages at offset " +
                     std::to_string(PageTable::offset_of(in, selected_.front())) +
                     " and after cannot be installed");
      return;
    case Stop::over:
      return;
    case Stop::done:
      break;
  }
  state.completion_next = page;
  if (const uint64_t rate = state.completion_rate; rate > 0) {
    const uint64_t bytes = selected_.size() * in.region.page_size;
    complete_not_before_ns_ =
        monotonic_ns() +
        static_cast<uint64_t>(static_cast<double>(bytes) * kSecond / static_cast<double>(rate));
  }
}

// Pages that the VMM has unmapped or replaced are no longer registered. They raise no faults, and
// the contents of the image do not belong there. They count as removed.
void FaultLoop::pass_over_gone(const PageTable::RegionPages& in) {
  const std::vector<uint64_t> pages = selected_;
  for (const uint64_t page : pages) {
    selected_ = {page};
    if (!over_ && fill_selected(in) == Stop::gone) {
      const uint64_t start = PageTable::address_of(in, page);
      table_.mark_removed(start, start + in.region.page_size);
      parts_.counters.add(Count::pages_gone);
    }
  }
}

// After unregistering, every missing page reads as zeros. That is correct for removed pages and
// corrupts the guest for any other. So the kernel is asked which pages are missing, instead of the
// bitmaps of the session. Between this answer and the unregistering only a removal can make a page
// missing.
void FaultLoop::verify_completion() {
  SessionState& state = parts_.state;
  if (state.completion == CompletionStage::confirming) {
    detach();
    return;
  }
  const std::optional<std::vector<PageSpan>> missing = find_missing();
  const bool huge = std::ranges::any_of(table_.regions(), [](const PageTable::RegionPages& in) {
    return in.region.page_size != hot::kSmallPage;
  });
  if (!missing && huge) {
    // For 2 MiB pages EEXIST is ambiguous (FaultLoop::handle_result).
    end_completion(
        "cannot read the pagemap of the process that owns the memory, which 2 MiB pages require");
  } else if (!missing) {
    parts_.log.detail(
        "cannot read its pagemap; each page is copied again to verify that it is present");
    state.completion = CompletionStage::confirming;
    state.completion_next = 0;
  } else if (missing->empty()) {
    detach();
  } else if (++state.completion_rounds > kMostRounds) {
    end_completion(huge ? "2 MiB pages are missing repeatedly; the pool may be empty"
                        : "pages that were installed are missing repeatedly");
  } else {
    for (const PageSpan& span : *missing) {
      table_.mark_missing(span.first, span.count);
    }
    state.completion_next = 0;
  }
}

// Returns the pages that are missing and were not removed, according to the kernel. Returns nothing
// if the pagemap cannot be read or belongs to other memory: the process that connected may have
// sent the userfaultfd of another process. The pagemap of the right process contains most of the
// pages that were installed.
std::optional<std::vector<PageSpan>> FaultLoop::find_missing() const {
  const std::optional<Pagemap> view = Pagemap::open(parts_.vmm);
  if (!view) {
    return std::nullopt;
  }
  std::vector<PageSpan> missing;
  uint64_t expected = 0;
  uint64_t unseen = 0;
  for (const PageTable::RegionPages& in : table_.regions()) {
    const auto ranges = view->missing(in.region.base, in.region.end());
    if (!ranges) {
      return std::nullopt;
    }
    expected += table_.count_installed(in.first_page, PageTable::end_page(in) - in.first_page);
    for (const AddressRange& range : *ranges) {
      const uint64_t last = PageTable::page_at(in, range.end - 1);
      for (uint64_t page = PageTable::page_at(in, range.start); page <= last; ++page) {
        if (table_.removed(page)) {
          continue;
        }
        unseen += table_.installed(page) ? 1 : 0;
        if (!missing.empty() && missing.back().end() == page &&
            missing.back().first >= in.first_page) {
          ++missing.back().count;
        } else {
          missing.push_back({.first = page, .count = 1});
        }
      }
    }
  }
  const bool nothing_is_needed = missing.empty() && expected == 0;
  const bool believed = nothing_is_needed || expected - unseen > expected / 2;
  return believed ? std::optional(std::move(missing)) : std::nullopt;
}

// The kernel rejects a range that contains no mapping, or one that cannot be registered (a file
// mapping). Such pages do not belong to the session. The others are found by halving the range.
int FaultLoop::unregister(const PageTable::RegionPages& in, uint64_t first, uint64_t count) {
  const int error =
      uffd_unregister(parts_.uffd, PageTable::address_of(in, first), count * in.region.page_size);
  if (error != EINVAL) {
    return error;
  }
  if (count == 1) {
    return 0;
  }
  const int failed = unregister(in, first, count / 2);
  return failed != 0 ? failed : unregister(in, first + count / 2, count - count / 2);
}

void FaultLoop::detach() {
  for (const PageTable::RegionPages& in : table_.regions()) {
    const int error = unregister(in, in.first_page, PageTable::end_page(in) - in.first_page);
    if (error == ESRCH || error == ENOMEM) {  // the VMM has ended
      over_ = true;
      return;
    }
    if (error != 0) {
      // The ranges that were unregistered before the error are completely installed, as is the
      // rest.
      end_completion("the memory cannot be unregistered: errno " + std::to_string(error));
      return;
    }
  }
  parts_.state.completion = CompletionStage::detached;
  // Unregistering wakes all waiting threads, except those that wait for a page that the VMM has
  // replaced since they touched it. Their faults may still be unread.
  for (const PageTable::RegionPages& in : table_.regions()) {
    uffd_wake(parts_.uffd, in.region.base, in.region.size);
  }
  kept_.clear();
  rest_.clear();
  parts_.counters.set(Count::waiting, 0);
  if (const uint64_t gone = parts_.counters.get(Count::pages_gone); gone > 0) {
    parts_.log.warn(
        std::to_string(gone) +
        " pages are no longer registered: the VMM has unmapped or replaced them; they are "
        "left unchanged");
  }
  parts_.log.detail("completed: all memory is installed, and the VMM no longer needs this server");
  if (completion_) {
    std::exchange(completion_, nullptr)->set(Completion::State::done);
  }
}

void FaultLoop::end_completion(const std::string& why) {
  parts_.log.warn("cannot complete: " + why + "; the session is still served");
  parts_.state.completion = CompletionStage::none;
  if (completion_) {
    std::exchange(completion_, nullptr)->set(Completion::State::failed, why);
  }
}

}  // namespace pager
