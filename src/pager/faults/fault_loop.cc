// SPDX-License-Identifier: Apache-2.0
// FaultLoop: reads events, answers faults, and decides how long to wait.
#include "pager/faults/fault_loop.h"

#include <algorithm>
#include <utility>

#include "pager/kernel/clock.h"

namespace pager {
namespace {

// The wait for the madvise of a removal that was read. It takes 1.4 us in the median and 11 us at
// the 90th percentile. During the wait poll(2) leaves the core to it.
constexpr uint64_t kRemovalWaitNs = 50 * kMicrosecond;

}  // namespace

FaultLoop::FaultLoop(const FaultLoopParts& parts, const Window& window)
    : parts_(parts),
      table_(parts.state),
      filler_(parts.uffd, table_, parts.image, parts.counters),
      window_(window) {
  parts_.state.window_pages = static_cast<uint32_t>(window.setting());
}

void FaultLoop::take_over(std::span<const std::shared_ptr<const HotFile>> lists) {
  SessionState& state = parts_.state;
  table_.recount();
  for (uffd_msg& message : state.events) {
    mark_removal(message);
    message.event = 0;
  }
  const uint64_t next = state.hot_next;
  more_hot_.assign(lists.begin(), lists.end());
  const bool first_is_there = !lists.empty() && lists.front();
  next_list();
  if (first_is_there && hot_ == lists.front()) {
    next_hot_ = next;
    state.hot_next = next;
  }
  // Faults that were read and not answered are raised again.
  for (const PageTable::RegionPages& in : table_.regions()) {
    uffd_wake(parts_.uffd, in.region.base, in.region.size);
  }
}

bool FaultLoop::step() {
  auto& events = parts_.state.events;
  for (size_t i = 0; i < last_batch_; ++i) {
    events[i].event = 0;
  }
  last_batch_ = 0;  // if the read throws, no message was filled in
  last_batch_ = uffd_read(parts_.uffd, events);
  parts_.counters.raise(Count::batch_max, last_batch_);
  handle(std::span(events).first(last_batch_));
  const bool blocked =
      std::ranges::any_of(kept_, [](const Fault& fault) { return fault.not_before_ns == 0; });
  // If the loop shares a core with its VMM, each answer lets the guest run up to its next fault, so
  // every read returns a message.
  busy_rounds_ = last_batch_ == 0 ? 0 : busy_rounds_ + 1;
  if ((last_batch_ == 0 || busy_rounds_ == kBusyRounds) && has_idle_work() && !blocked && !over_) {
    busy_rounds_ = 0;
    do_idle_work();
  }
  if (table_.poisoned_pages() > 0 && !over_ && monotonic_ns() >= heal_not_before_ns_) {
    heal();
  }
  check_image();
  parts_.counters.set(Count::bytes_resident, table_.installed_bytes());
  parts_.counters.set(Count::pages_healed, table_.healed_pages());
  return !over_;
}

void FaultLoop::handle(std::span<const uffd_msg> messages) {
  std::ranges::for_each(messages, [this](const uffd_msg& message) { mark_removal(message); });
  moment_ns_ = monotonic_ns();
  const uint64_t read_at = moment_ns_;
  serve_kept();
  for (const uffd_msg& message : messages) {
    if (message.event == UFFD_EVENT_FORK) {
      close_fork(message);
    }
    if (message.event != UFFD_EVENT_PAGEFAULT || over_) {
      continue;
    }
    // A COPY answers neither: after EEXIST and a WAKE the same fault would repeat forever. Only the
    // VMM knows the purpose of the write protection or of the other mapping.
    constexpr uint64_t kNotMissing = UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_MINOR;
    if ((message.arg.pagefault.flags & kNotMissing) != 0) {
      kill_vmm("its memory is registered for write-protect or minor faults, which are not served");
      return;
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

// Checks only while the guest faults; an idle guest does not read the image.
void FaultLoop::check_image() {
  if (parts_.image.view() == Image::View::unprotected &&
      moment_ns_ >= image_checked_ns_ + kSecond) {
    image_checked_ns_ = moment_ns_;
    parts_.image.warn_if_changed();
  }
}

void FaultLoop::mark_removal(const uffd_msg& message) {
  // Firecracker does not request UNMAP events. From a VMM that does, UNMAP means the same as
  // REMOVE.
  if (message.event == UFFD_EVENT_REMOVE || message.event == UFFD_EVENT_UNMAP) {
    parts_.counters.add(Count::pages_removed,
                        table_.mark_removed(message.arg.remove.start, message.arg.remove.end));
  }
}

// A VMM that requested EVENT_FORK has forked. The read of the event created a descriptor of the
// child's userfaultfd in this process. Children are not served: their missing pages read as zeros.
void FaultLoop::close_fork(const uffd_msg& message) {
  base::Fd(static_cast<int>(message.arg.fork.ufd)).reset();
  if (!std::exchange(fork_warned_, true)) {
    parts_.log.warn("the VMM has forked; its children are not served and read zeros");
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
  if (has_idle_work()) {
    const bool only_completion = rest_.empty() && !hot_;
    no_later_than(idle_blocked_     ? kRemovalWaitNs
                  : only_completion ? until(complete_not_before_ns_)
                                    : 0);
  }
  if (table_.poisoned_pages() > 0) {
    no_later_than(until(heal_not_before_ns_));
  }
  return wait;
}

void FaultLoop::flush() const {
  if (parts_.trace != nullptr) {
    parts_.trace->flush();
  }
}

void FaultLoop::report_suppressed() const {
  if (const uint64_t more = poison_log_.suppressed(); more > 0) {
    parts_.log.warn(std::to_string(more) + " more pages were poisoned and not logged");
  }
}

void FaultLoop::take(Fault fault) {
  read_ns_ = 0;
  if (serve(fault) == Answer::given) {
    finish(fault);
    return;
  }
  // The same page may fault again while a fault of it is kept (another vCPU, a signal). One entry
  // is enough, because an answer wakes all threads.
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
    return give_up(fault, in, "the address is in none of the regions of the handshake");
  }
  const uint64_t page = PageTable::page_at(*in, fault.address);
  if (const auto rounds = huge_rounds_.find(page);
      rounds != huge_rounds_.end() && rounds->second >= kHugeRounds && !fault.kept) {
    fault.waits = rounds->second - kHugeRounds;
    return wait_for_memory(fault, in->region.page_size);
  }
  const Window::Plan plan = plan_for(fault, *in, page);
  select(*in, plan.now, page);
  Filled filled = filler_.fill(*in, selected_, page, kRemovalRetries);
  if (!filled.answered && selected_.size() > 1 &&
      (filled.stop == Stop::unreadable || filled.stop == Stop::gone)) {
    // Maybe only an adjacent page cannot be read, or the VMM has split the mapping next to this
    // page. Try the wanted page alone.
    selected_ = {page};
    filled = filler_.fill(*in, selected_, page, kRemovalRetries);
  }
  if (filled.answered && !filled.present_before) {
    queue_rest(*in, page, plan.later);
  }
  return handle_result(fault, *in, filled);
}

Window::Plan FaultLoop::plan_for(const Fault& fault, const PageTable::RegionPages& in,
                                 uint64_t page) {
  const Window::Plan alone{.now = {.first = page, .count = 1}, .later = {}};
  // A kept fault has waited long enough and is not a new step of a sequential walk. A fault on an
  // installed page is that of another vCPU, raised just before the page was installed.
  if (fault.kept || in.region.page_size != hot::kSmallPage || table_.installed(page)) {
    return alone;
  }
  const Window::Plan plan = window_.plan(page);
  if (plan.now.count == 1 && filler_.is_zero(in, page)) {
    const uint64_t block = window_.zero_block();
    return {.now = {.first = page - (page - in.first_page) % block, .count = block}, .later = {}};
  }
  return plan;
}

// Selects the wanted page and the untouched pages of `span`. If the wanted page was removed, other
// removed pages are selected too. If the span is larger than a window, it surrounds a hole, and
// only holes are selected.
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

}  // namespace pager
