// SPDX-License-Identifier: Apache-2.0
// The stages of a completion, and what ends it.
#include "pager/faults/completer.h"

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

#include "pager/faults/pagemap.h"
#include "pager/kernel/clock.h"
#include "pager/kernel/uffd.h"

namespace pager {
namespace {

// After this number of passes over memory in which the kernel still lacks pages, the completion
// fails.
constexpr uint32_t kMostRounds = 8;

}  // namespace

void Completer::start(std::shared_ptr<Completion> client) {
  if (client_) {
    client_->set(Completion::State::failed, "superseded by another request");
  }
  client_ = std::move(client);
  not_before_ns_ = 0;
  SessionState::CompletionProgress& state = parts_.state;
  state.next = 0;
  state.rounds = 0;
  state.rate = client_->bytes_per_second();
  state.stage = CompletionStage::filling;
}

void Completer::pause() {
  if (client_) {
    client_->set(Completion::State::paused);
  }
}

void Completer::resume() {
  if (client_) {
    client_->set(Completion::State::running);
  }
}

Stop Completer::piece(uint64_t bytes) {
  SessionState::CompletionProgress& state = parts_.state;
  if (monotonic_ns() < not_before_ns_) {
    return Stop::done;
  }
  if (state.next == parts_.table.page_count()) {
    return verify();
  }
  const PageTable::RegionPages& in = parts_.table.region_of_page(state.next);
  uint64_t end = select(in, PageFiller::pages_in(bytes, in));
  if (const size_t ready = parts_.cold.ready(in, selected_); ready < selected_.size()) {
    end = selected_[ready];
    selected_.resize(ready);
    if (ready == 0) {
      state.next = end;
      read_cold_pages(in, end);
      return Stop::done;
    }
  }
  const Stop stop = parts_.filler.prefetch(in, selected_);
  const auto pages = [&] {
    return "pages at offset " + std::to_string(PageTable::offset_of(in, selected_.front())) +
           " and after ";
  };
  switch (stop) {
    case Stop::done:
      state.next = end;
      keep_rate(selected_.size() * in.region.page_size);
      break;
    case Stop::gone:
      return skip_gone(in);
    case Stop::no_memory:
      fail("the VMM has reached its memory limit");
      break;
    case Stop::unreadable:
      fail(pages() + "cannot be read");
      break;
    case Stop::failed:
      fail(pages() + "cannot be installed");
      break;
    case Stop::again:
    case Stop::over:
      break;
  }
  return stop;
}

// Selects at most `most` of the next pages that have to be installed. Returns the first page that
// was not examined.
uint64_t Completer::select(const PageTable::RegionPages& in, uint64_t most) {
  // The most pages that one piece examines. This takes 30 us.
  constexpr uint64_t kLook = 8192;
  uint64_t page = parts_.state.next;
  const uint64_t end = std::min(PageTable::end_page(in), page + kLook);
  for (selected_.clear(); page < end && selected_.size() < most; ++page) {
    if (is_needed(page)) {
      selected_.push_back(page);
    }
  }
  return page;
}

bool Completer::is_needed(uint64_t page) const {
  return parts_.state.stage == CompletionStage::confirming ? !parts_.table.removed(page)
                                                           : parts_.table.untouched(page);
}

// The thread reads ahead of what is installed.
void Completer::read_cold_pages(const PageTable::RegionPages& in, uint64_t page) {
  constexpr uint64_t kAhead = uint64_t{16} << 20U;  // bytes
  constexpr uint64_t kColdWaitNs = kMillisecond;
  const uint64_t end = std::min(PageTable::end_page(in), page + PageFiller::pages_in(kAhead, in));
  for (to_read_.clear(); page < end; ++page) {
    if (is_needed(page)) {
      to_read_.push_back(page);
    }
  }
  parts_.cold.read(this, parts_.table, to_read_, ColdReader::Pace::polite);
  not_before_ns_ = monotonic_ns() + kColdWaitNs;
}

void Completer::keep_rate(uint64_t bytes) {
  if (const uint64_t rate = parts_.state.rate; rate > 0) {
    not_before_ns_ = monotonic_ns() + static_cast<uint64_t>(static_cast<double>(bytes) * kSecond /
                                                            static_cast<double>(rate));
  }
}

// Pages that the VMM has unmapped or replaced are no longer registered. They raise no faults, and
// the contents of the image do not belong there. They count as removed. The next piece selects the
// other pages again.
Stop Completer::skip_gone(const PageTable::RegionPages& in) {
  Stop result = Stop::done;
  for (const uint64_t page : selected_) {
    const Stop stop = parts_.filler.prefetch(in, std::span(&page, 1));
    if (stop == Stop::gone) {
      const uint64_t start = PageTable::address_of(in, page);
      parts_.table.mark_removed(start, start + in.region.page_size);
      parts_.counters.add(Count::pages_gone);
    } else if (stop == Stop::over) {
      return stop;
    } else if (stop == Stop::again || stop == Stop::no_memory) {
      result = stop;
    }
  }
  return result;
}

// After unregistering, every missing page reads as zeros. That is correct for removed pages and
// corrupts the guest for any other. So the kernel is asked which pages are missing, instead of the
// bitmaps of the session. Between this answer and the unregistering only a removal can make a page
// missing.
Stop Completer::verify() {
  SessionState::CompletionProgress& state = parts_.state;
  if (state.stage == CompletionStage::confirming) {
    return detach();
  }
  const std::optional<std::vector<PageSpan>> missing = find_missing();
  const bool huge = std::ranges::any_of(
      parts_.table.regions(),
      [](const PageTable::RegionPages& in) { return in.region.page_size != hot::kSmallPage; });
  if (!missing && huge) {
    // For 2 MiB pages EEXIST is ambiguous (FaultHandler::given).
    fail("cannot read the pagemap of the process that owns the memory, which 2 MiB pages require");
  } else if (!missing) {
    parts_.log.detail(
        "cannot read its pagemap; each page is copied again to verify that it is present");
    state.stage = CompletionStage::confirming;
    state.next = 0;
  } else if (missing->empty()) {
    return detach();
  } else if (++state.rounds > kMostRounds) {
    fail(huge ? "2 MiB pages are missing repeatedly; the pool may be empty"
              : "pages that were installed are missing repeatedly");
  } else {
    for (const PageSpan& span : *missing) {
      parts_.table.mark_missing(span.first, span.count);
    }
    state.next = 0;
  }
  return Stop::done;
}

// Returns the pages that are missing and were not removed, according to the kernel. Returns nothing
// if the pagemap cannot be read or belongs to other memory: the process that connected may have
// sent the userfaultfd of another process. The pagemap of the right process contains most of the
// pages that were installed.
std::optional<std::vector<PageSpan>> Completer::find_missing() const {
  const PageTable& table = parts_.table;
  const std::optional<Pagemap> view = Pagemap::open(parts_.vmm);
  if (!view) {
    return std::nullopt;
  }
  std::vector<PageSpan> missing;
  uint64_t expected = 0;
  uint64_t unseen = 0;
  for (const PageTable::RegionPages& in : table.regions()) {
    const auto ranges = view->missing(in.region.base, in.region.end());
    if (!ranges) {
      return std::nullopt;
    }
    expected += table.count_installed(in.first_page, PageTable::end_page(in) - in.first_page);
    for (const AddressRange& range : *ranges) {
      const uint64_t last = PageTable::page_at(in, range.end - 1);
      for (uint64_t page = PageTable::page_at(in, range.start); page <= last; ++page) {
        if (table.removed(page)) {
          continue;
        }
        unseen += table.installed(page) ? 1 : 0;
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
int Completer::unregister(const PageTable::RegionPages& in, uint64_t first, uint64_t count) {
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

Stop Completer::detach() {
  for (const PageTable::RegionPages& in : parts_.table.regions()) {
    const int error = unregister(in, in.first_page, PageTable::end_page(in) - in.first_page);
    if (error == ESRCH || error == ENOMEM) {  // the VMM has ended
      return Stop::over;
    }
    if (error != 0) {
      // The ranges that were unregistered before the error are completely installed, as is the
      // rest.
      fail("the memory cannot be unregistered: errno " + std::to_string(error));
      return Stop::failed;
    }
  }
  parts_.state.stage = CompletionStage::detached;
  // Unregistering wakes all waiting threads, except those that wait for a page that the VMM has
  // replaced since they touched it. Their faults may still be unread.
  for (const PageTable::RegionPages& in : parts_.table.regions()) {
    uffd_wake(parts_.uffd, in.region.base, in.region.size);
  }
  if (const uint64_t gone = parts_.counters.get(Count::pages_gone); gone > 0) {
    parts_.log.warn(
        std::to_string(gone) +
        " pages are no longer registered: the VMM has unmapped or replaced them; they are "
        "left unchanged");
  }
  parts_.log.detail("completed: all memory is installed, and the VMM no longer needs this server");
  if (client_) {
    std::exchange(client_, nullptr)->set(Completion::State::done);
  }
  return Stop::done;
}

void Completer::fail(const std::string& why) {
  parts_.log.warn("cannot complete: " + why + "; the session is still served");
  parts_.state.stage = CompletionStage::none;
  if (client_) {
    std::exchange(client_, nullptr)->set(Completion::State::failed, why);
  }
}

}  // namespace pager
