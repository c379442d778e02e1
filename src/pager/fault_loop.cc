#include "pager/fault_loop.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>

#include "base/error.h"
#include "pager/clock.h"
#include "pager/features.h"

namespace pager {
namespace {

constexpr uint64_t kMicrosecond = 1'000;
constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kSecond = 1'000'000'000;

// How long the madvise of a removal that was read takes to run: 1.4 us median, 11 us at the 90th
// percentile. poll(2) gives it the core meanwhile.
constexpr uint64_t kRemovalWaitNs = 50 * kMicrosecond;

std::string error_text(int error) {
  return error == ENODATA
             ? "the file has become shorter"
             : std::generic_category().message(error) + " (errno " + std::to_string(error) + ")";
}

// Doubles with each round, from `first` to one second.
uint64_t back_off(uint64_t first, int round) {
  return std::min(first << static_cast<unsigned>(std::min(round, 20)), kSecond);
}

}  // namespace

FaultLoop::FaultLoop(const FaultLoopParts& parts, const Window& window)
    : parts_(parts),
      table_(parts.state),
      filler_(parts.uffd, table_, parts.image, parts.counters),
      window_(window) {}

void FaultLoop::prefetch(std::shared_ptr<const HotFile> list) {
  std::vector<Region> regions;
  std::ranges::transform(table_.regions(), std::back_inserter(regions),
                         &PageTable::RegionPages::region);
  try {
    check_hot_list(list->pages, regions, list->path);
  } catch (const base::BadData& error) {
    parts_.counters.add(Count::hot_list_refused);
    parts_.log.warn(std::string(error.what()) + "; serving without it");
    return;
  }
  hot_ = std::move(list);
  listed_ = hot_;
  next_hot_ = 0;
  chunk_.clear();
  next_in_chunk_ = 0;
}

bool FaultLoop::step() {
  auto& events = parts_.state.events;
  for (size_t i = 0; i < last_batch_; ++i) {
    events[i].event = 0;
  }
  last_batch_ = 0;  // a read that throws has filled none
  last_batch_ = uffd_read(parts_.uffd, events);
  parts_.counters.raise(Count::batch_max, last_batch_);
  handle(std::span(events).first(last_batch_));
  const bool blocked =
      std::ranges::any_of(kept_, [](const Fault& fault) { return fault.not_before_ns == 0; });
  // On one core with its VMM, each answer runs the guest up to its next fault, and there is no gap.
  busy_rounds_ = last_batch_ == 0 ? 0 : busy_rounds_ + 1;
  if ((last_batch_ == 0 || busy_rounds_ == kBusyRounds) && has_gap_work() && !blocked && !over_) {
    busy_rounds_ = 0;
    work_in_gap();
  }
  if (parts_.state.poisoned_count > 0 && !over_ && monotonic_ns() >= heal_not_before_ns_) {
    heal();
  }
  parts_.counters.set(Count::bytes_resident, table_.installed_bytes());
  return !over_;
}

void FaultLoop::handle(std::span<const uffd_msg> messages) {
  for (const uffd_msg& message : messages) {
    // UNMAP is not asked for by Firecracker; from a VMM that does, it means the same to us.
    if (message.event == UFFD_EVENT_REMOVE || message.event == UFFD_EVENT_UNMAP) {
      parts_.counters.add(Count::pages_removed,
                          table_.mark_removed(message.arg.remove.start, message.arg.remove.end));
    }
  }
  moment_ns_ = monotonic_ns();
  const uint64_t read_at = moment_ns_;
  serve_kept();
  for (const uffd_msg& message : messages) {
    if (message.event != UFFD_EVENT_PAGEFAULT || over_) {
      continue;
    }
    parts_.counters.add(Count::faults);
    last_fault_ns_ = read_at;
    const uint64_t address = message.arg.pagefault.address;
    if (parts_.trace != nullptr || listed_) {
      note(address);
    }
    take({.address = address, .since_ns = read_at});
  }
}

void FaultLoop::note(uint64_t address) {
  const PageTable::RegionPages* in = table_.region_of_address(address);
  if (in == nullptr) {
    return;
  }
  const uint64_t page = (address - in->region.base) / in->region.page_size;
  if (parts_.trace != nullptr) {
    parts_.trace->fault(in->region.offset / in->region.page_size + page);
  }
  const auto region = static_cast<uint32_t>(in - table_.regions().data());
  if (listed_ && !listed_->lists({.region = region, .offset = page * in->region.page_size})) {
    parts_.counters.add(Count::faults_unlisted);
  }
}

std::optional<uint64_t> FaultLoop::wait_ns() const {
  std::optional<uint64_t> wait;
  if (!kept_.empty()) {
    const uint64_t due = std::ranges::min(kept_, {}, &Fault::not_before_ns).not_before_ns;
    const uint64_t now = monotonic_ns();
    wait = due == 0 ? kRemovalWaitNs : due - std::min(due, now);
  }
  const auto no_later_than = [&](uint64_t ns) { wait = std::min(wait.value_or(ns), ns); };
  const auto until = [](uint64_t due) { return due - std::min(due, monotonic_ns()); };
  if (has_gap_work()) {
    const bool only_completion = rest_.empty() && !hot_;
    no_later_than(gap_blocked_      ? kRemovalWaitNs
                  : only_completion ? until(complete_not_before_ns_)
                                    : 0);
  }
  if (parts_.state.poisoned_count > 0) {
    no_later_than(until(heal_not_before_ns_));
  }
  return wait;
}

void FaultLoop::flush() const {
  if (parts_.trace != nullptr) {
    parts_.trace->flush();
  }
}

void FaultLoop::take(Fault fault) {
  read_ns_ = 0;
  if (serve(fault) == Answer::given) {
    finish(fault);
    return;
  }
  // The same page may fault again while it is kept (another vCPU, a signal): one of them is enough,
  // as an answer wakes all.
  const bool known = std::ranges::any_of(
      kept_, [&](const Fault& other) { return other.address == fault.address; });
  if (!known) {
    fault.kept = true;
    kept_.push_back(fault);
  }
  parts_.counters.set(Count::waiting, kept_.size());
}

void FaultLoop::serve_kept() {
  if (kept_.empty()) {
    return;
  }
  std::vector<Fault> waiting;
  waiting.swap(kept_);
  for (Fault& fault : waiting) {
    if (over_ || fault.not_before_ns > moment_ns_) {
      kept_.push_back(fault);
    } else {
      parts_.counters.add(Count::retries);
      take(fault);
    }
  }
  parts_.counters.set(Count::waiting, kept_.size());
}

void FaultLoop::finish(const Fault& fault) {
  Counters& counters = parts_.counters;
  const uint64_t now = monotonic_ns();
  const uint64_t copy_ns = now - moment_ns_ - read_ns_;
  moment_ns_ = now;
  counters.add(Count::fault_ns, now - fault.since_ns);
  counters.add(Count::read_ns, read_ns_);
  counters.raise(Count::read_max_ns, read_ns_);
  counters.add(Count::copy_ns, copy_ns);
  counters.raise(Count::copy_max_ns, copy_ns);
  counters.raise(Count::fault_max_ns, now - fault.since_ns);
  counters.latency.record(now - fault.since_ns);
}

FaultLoop::Answer FaultLoop::serve(Fault& fault) {
  const PageTable::RegionPages* in = table_.region_of_address(fault.address);
  if (in == nullptr) {
    return give_up(fault, in, "it is in none of the regions of the handshake");
  }
  const uint64_t page = PageTable::page_at(*in, fault.address);
  if (const auto rounds = huge_rounds_.find(page);
      rounds != huge_rounds_.end() && rounds->second >= kHugeRounds && !fault.kept) {
    fault.waits = rounds->second - kHugeRounds;
    return wait_for_memory(fault, "the pool of 2 MiB pages is empty");
  }
  const Window::Plan plan = plan_for(fault, *in, page);
  select(*in, plan.now, page);
  Filled filled = filler_.fill(*in, selected_, page, kPatience);
  if (!filled.answered && selected_.size() > 1 &&
      (filled.stop == Stop::unreadable || filled.stop == Stop::gone)) {
    // Perhaps only a neighbour cannot be read, or the VMM has split the mapping beside this page.
    selected_ = {page};
    filled = filler_.fill(*in, selected_, page, kPatience);
  }
  if (filled.answered && !filled.present_before) {
    queue_rest(*in, page, plan.later);
  }
  return follow(fault, *in, filled);
}

Window::Plan FaultLoop::plan_for(const Fault& fault, const PageTable::RegionPages& in,
                                 uint64_t page) {
  const Window::Plan alone{.now = {.first = page, .count = 1}, .later = {}};
  // A fault that was kept has waited long enough, and is no new step of a walk; one on a page that
  // is there is another vCPU that came a moment too early.
  if (fault.kept || in.region.page_size != kSmallPage || table_.installed(page)) {
    return alone;
  }
  const Window::Plan plan = window_.plan(page);
  if (plan.now.count == 1 && filler_.is_zero(in, page)) {
    const uint64_t block = window_.zero_block();
    return {.now = {.first = page - (page - in.first_page) % block, .count = block}, .later = {}};
  }
  return plan;
}

// Of a span: the wanted page, and what else of it nobody has touched. Beside a removed page, what
// was removed too; beside a hole, when it is more than a window, only holes.
void FaultLoop::select(const PageTable::RegionPages& in, const PageSpan& span, uint64_t wanted) {
  const bool removed = table_.removed(wanted);
  const bool only_zeros = span.count > Window::kMostAtOnce;
  const uint64_t end = std::min(span.end(), PageTable::end_page(in));
  selected_.clear();
  for (uint64_t page = std::max(span.first, in.first_page); page < end; ++page) {
    const bool fits = table_.untouched(page) ? !only_zeros || filler_.is_zero(in, page)
                                             : removed && !table_.installed(page);
    if (page == wanted || fits) {
      selected_.push_back(page);
    }
  }
}

void FaultLoop::queue_rest(const PageTable::RegionPages& in, uint64_t page, const PageSpan& later) {
  if (later.count > 0) {
    queue(in, later);
  }
  // What a hot list has installed says nothing about what the guest touches.
  if (!window_.is_automatic() || listed_ || in.region.page_size != kSmallPage) {
    return;
  }
  const auto around = [&](uint64_t pages) {
    const uint64_t first = page - (page - in.first_page) % pages;
    return PageSpan{.first = first, .count = std::min(pages, PageTable::end_page(in) - first)};
  };
  // Pages of holes were filled in blocks, and say nothing either.
  const auto touched = [&](const PageSpan& span) {
    const uint64_t start = PageTable::offset_of(in, span.first);
    const uint64_t data = parts_.image.data().data_bytes(start, start + span.count * kSmallPage);
    const uint64_t holes = span.count - std::min(span.count, data / kSmallPage);
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

FaultLoop::Answer FaultLoop::follow(Fault& fault, const PageTable::RegionPages& in,
                                    const Filled& filled) {
  const uint64_t page = PageTable::page_at(in, fault.address);
  read_ns_ = filled.read_ns;
  if (filled.stop == Stop::over) {
    over_ = true;
    return Answer::given;
  }
  if (filled.answered) {
    parts_.counters.add(Count::zero_faults, filler_.is_zero(in, page) ? 1 : 0);
    parts_.counters.add(Count::hit_before, filled.present_before ? 1 : 0);
    if (!filled.present_before) {
      memory_warned_ = false;
      huge_rounds_.erase(page);
    } else if (in.region.page_size == kHugePage && !table_.installed(page)) {
      // On 2 MiB pages EEXIST means "present" or "the pool is empty". Who waits was woken; when
      // the page faults again and again, it is the pool.
      ++huge_rounds_[page];
    }
    return Answer::given;
  }
  switch (filled.stop) {
    case Stop::again:
      fault.not_before_ns = 0;
      return Answer::keep;
    case Stop::no_memory:
      return wait_for_memory(fault, "the VMM may not have more memory");
    case Stop::unreadable:
      return unreadable(fault, in, filled.error);
    case Stop::gone:
      // Nothing is registered there any more: once woken, the thread is the kernel's business.
      uffd_wake(parts_.uffd, PageTable::address_of(in, page), in.region.page_size);
      return Answer::given;
    default:
      return give_up(fault, &in, "it cannot be installed: " + error_text(filled.error));
  }
}

FaultLoop::Answer FaultLoop::wait_for_memory(Fault& fault, std::string_view what) {
  if (!memory_warned_) {
    memory_warned_ = true;
    parts_.log.warn(std::string(what) + "; its faults wait until there is");
  }
  parts_.counters.add(Count::out_of_memory);
  fault.not_before_ns = monotonic_ns() + back_off(10 * kMillisecond, fault.waits++);
  return Answer::keep;
}

FaultLoop::Answer FaultLoop::unreadable(Fault& fault, const PageTable::RegionPages& in, int error) {
  if (++fault.reads < parts_.state.read_attempts) {
    fault.not_before_ns =
        monotonic_ns() + back_off(kMillisecond, 2 * (static_cast<int>(fault.reads) - 1));
    return Answer::keep;
  }
  return give_up(fault, &in, "it cannot be read: " + error_text(error));
}

FaultLoop::Answer FaultLoop::give_up(const Fault& fault, const PageTable::RegionPages* in,
                                     const std::string& why) {
  const uint64_t size = in != nullptr ? in->region.page_size : kSmallPage;
  const uint64_t address = fault.address - fault.address % size;
  const std::string page =
      in != nullptr
          ? "page at offset " + std::to_string(in->region.offset + (address - in->region.base)) +
                " of " + base::quoted(parts_.image.path())
          : "page at address " + std::to_string(address);
  if (parts_.state.on_failure == OnFailure::poison && features().has(Feature::poison)) {
    int error = EAGAIN;
    for (int i = 0; i <= kPatience && error == EAGAIN; ++i) {
      error = uffd_poison(parts_.uffd, address, size).error;
    }
    switch (error) {
      case 0:
        parts_.counters.add(Count::pages_poisoned);
        if (in != nullptr) {
          remember_poisoned(PageTable::page_at(*in, address));
        }
        parts_.log.warn(page + ": " + why + "; poisoned, a touch is SIGBUS in the VMM");
        return Answer::given;
      case EAGAIN:
        return Answer::keep;
      case EEXIST:
      case ENOENT:
        uffd_wake(parts_.uffd, address, size);
        return Answer::given;
      case ESRCH:
        over_ = true;
        return Answer::given;
      default:
        break;  // before Linux 6.6, or no page of ours
    }
  }
  kill_vmm(page + ": " + why);
  return Answer::given;
}

void FaultLoop::kill_vmm(const std::string& why) {
  over_ = true;
  parts_.log.warn(why + (parts_.vmm.kill() ? "; killed the VMM"
                                           : "; the VMM cannot be killed from here and hangs"));
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
  for (; next_hot_ < hot_->pages.size() && chunk_.size() < kChunk; ++next_hot_) {
    const HotPage& hot = hot_->pages[next_hot_];
    const PageTable::RegionPages& in = table_.regions()[hot.region];
    chunk_.push_back(in.first_page + hot.offset / in.region.page_size);
  }
  std::ranges::sort(chunk_);
  chunk_.erase(std::unique(chunk_.begin(), chunk_.end()), chunk_.end());
}

void FaultLoop::hot_piece() {
  if (next_in_chunk_ == chunk_.size()) {
    next_chunk();
    if (chunk_.empty()) {
      parts_.log.detail("hot list installed");
      hot_.reset();
      if (!more_hot_.empty()) {
        std::shared_ptr<const HotFile> list = std::move(more_hot_.front());
        more_hot_.pop_front();
        prefetch(std::move(list));
      }
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
    if (hot_ && !completion_) {
      parts_.log.warn("the VMM may not have more memory; the rest of the hot list is dropped");
    }
    hot_.reset();
    more_hot_.clear();
    rest_.clear();
  }
  return stop;
}

}  // namespace pager
