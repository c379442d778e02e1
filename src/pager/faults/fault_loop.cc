// SPDX-License-Identifier: Apache-2.0
// FaultLoop: the steps of a round, and how long to wait for the next.
#include "pager/faults/fault_loop.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/fd.h"
#include "pager/faults/release_holes.h"
#include "pager/kernel/clock.h"

namespace pager {
namespace {

// The wait for the madvise of a removal that was read. It takes 1.4 us in the median and 11 us at
// the 90th percentile. During the wait this thread leaves the core to it.
constexpr uint64_t kRemovalWaitNs = 50 * kMicrosecond;

// Firecracker does not request UNMAP events. From a VMM that does, UNMAP means the same as REMOVE.
bool is_removal(const uffd_msg& message) {
  return message.event == UFFD_EVENT_REMOVE || message.event == UFFD_EVENT_UNMAP;
}
// A guest that has not faulted for this long, 200 times the duration of a fault, will probably not
// fault during a piece of idle work.
constexpr uint64_t kRecentNs = 2 * kMillisecond;

uint64_t ns_until(uint64_t due) {
  return due - std::min(due, monotonic_ns());
}

}  // namespace

FaultLoop::FaultLoop(const FaultLoopParts& parts, const Window& window)
    : parts_(parts),
      table_(parts.state),
      filler_(parts.uffd, table_, parts.image, parts.counters),
      cold_(filler_, parts.image, parts.counters),
      kept_(parts.counters),
      credit_(parts.state.window_bytes, parts.counters),
      rests_(table_, filler_, parts.image, cold_, credit_, parts.counters),
      hot_(parts.state.hot, table_, filler_, parts.image, cold_, parts.counters, parts.log,
           parts.trace),
      completer_({.state = parts.state.completion,
                  .uffd = parts.uffd,
                  .vmm = parts.vmm,
                  .table = table_,
                  .filler = filler_,
                  .cold = cold_,
                  .counters = parts.counters,
                  .log = parts.log}),
      healer_(table_, filler_, parts.image, parts.log),
      handler_(parts,
               {.table = table_,
                .filler = filler_,
                .hot = hot_,
                .credit = credit_,
                .rests = rests_,
                .healer = healer_},
               window) {}

uint64_t FaultLoop::take_over() {
  uint64_t replayed = 0;
  table_.recount();
  for (uffd_msg& message : parts_.state.events) {
    replayed += is_removal(message) ? 1 : 0;
    mark_removal(message);
    message.event = 0;
  }
  parts_.counters.add(Count::waiters_woken, uffd_waiters(parts_.uffd));
  // Faults that were read and not answered are raised again.
  for (const PageTable::RegionPages& in : table_.regions()) {
    uffd_wake(parts_.uffd, in.region.base, in.region.size);
  }
  return replayed;
}

void FaultLoop::resume_hot_lists(std::span<const std::shared_ptr<const HotFile>> lists) {
  hot_.take_over(lists);
}

void FaultLoop::prefetch(std::shared_ptr<const HotFile> list) {
  parts_.state.paused = 0;
  completer_.resume();
  if (list) {
    hot_.add(std::move(list));
  }
}

void FaultLoop::pause() {
  parts_.state.paused = 1;
  completer_.pause();
}

void FaultLoop::complete(std::shared_ptr<Completion> completion) {
  parts_.state.paused = 0;
  completer_.start(std::move(completion));
}

void FaultLoop::set_trace(hot::TraceWriter* trace, const Window& window) {
  handler_.set_window(window);
  parts_.trace = trace;
  hot_.set_trace(trace);
  if (trace == nullptr) {
    return;
  }
  for (const PageTable::RegionPages& in : table_.regions()) {
    const uint64_t end = PageTable::end_page(in);
    for (uint64_t page = in.first_page; page < end;) {
      uint64_t after = page;
      while (after < end && table_.installed(after)) {
        ++after;
      }
      if (after > page) {
        trace->listed(PageTable::offset_of(in, page) / in.region.page_size, after - page);
      }
      page = after + 1;
    }
  }
}

void FaultLoop::release_holes() {
  pager::release_holes(parts_.uffd, table_, parts_.image, parts_.counters);
}

bool FaultLoop::step() {
  std::atomic_ref<uint64_t>(parts_.state.heartbeat)
      .store(parts_.state.heartbeat + 1, std::memory_order_relaxed);
  auto& events = parts_.state.events;
  for (size_t i = 0; i < last_batch_; ++i) {
    events[i].event = 0;
  }
  last_batch_ = 0;  // if the read throws, no message was filled in
  last_batch_ = uffd_read(parts_.uffd, events);
  parts_.counters.raise(Count::batch_max, last_batch_);
  handle(std::span(events).first(last_batch_));
  map_around_lone_fault();
  // If the loop shares a core with its VMM, each answer lets the guest run up to its next fault, so
  // every read returns a message.
  busy_rounds_ = last_batch_ == 0 ? 0 : busy_rounds_ + 1;
  if ((last_batch_ == 0 || busy_rounds_ == kBusyRounds) && has_idle_work() &&
      !kept_.wait_for_events() && !over_) {
    busy_rounds_ = 0;
    do_idle_work();
  }
  if (healer_.has_work() && !over_ && monotonic_ns() >= healer_.due_ns()) {
    follow(healer_.piece());
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
  kept_.retry(read_at, [this](const Fault& fault) { take(fault); });
  for (const uffd_msg& message : messages) {
    if (message.event == UFFD_EVENT_FORK) {
      close_fork(message);
    } else if (message.event == UFFD_EVENT_PAGEFAULT && !over_) {
      handle_fault(message, read_at);
    }
  }
}

void FaultLoop::mark_removal(const uffd_msg& message) {
  if (is_removal(message)) {
    parts_.counters.add(Count::pages_removed,
                        table_.mark_removed(message.arg.remove.start, message.arg.remove.end));
  }
}

void FaultLoop::handle_fault(const uffd_msg& message, uint64_t read_at) {
  // A COPY answers neither: after EEXIST and a WAKE the same fault would repeat forever. Only the
  // VMM knows the purpose of the write protection or of the other mapping.
  constexpr uint64_t kNotMissing = UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_MINOR;
  if ((message.arg.pagefault.flags & kNotMissing) != 0) {
    handler_.kill_vmm(
        "its memory is registered for write-protect or minor faults, which are not served");
    over_ = true;
    return;
  }
  parts_.counters.add(Count::faults);
  const uint64_t address = message.arg.pagefault.address;
  if (read_at - last_fault_ns_ >= kRecentNs) {
    lone_fault_ = address;
  }
  last_fault_ns_ = read_at;
  if (parts_.trace != nullptr || hot_.was_given()) {
    note(address);
  }
  take({.address = address, .since_ns = read_at});
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
  const uint64_t page = PageTable::page_at(*in, address);
  if (parts_.trace != nullptr) {
    parts_.trace->fault(PageTable::offset_of(*in, page) / in->region.page_size);
  }
  hot_.count_fault(*in, page);
}

void FaultLoop::take(Fault fault) {
  if (over_) {
    return;
  }
  const Answer answer = handler_.answer(fault);
  if (answer == Answer::given || answer == Answer::over) {
    over_ = answer == Answer::over;
    finish(fault);
  } else {
    kept_.keep(fault, answer);
  }
}

void FaultLoop::finish(const Fault& fault) {
  Counters& counters = parts_.counters;
  const uint64_t now = monotonic_ns();
  const uint64_t read_ns = fault.read_until_ns == 0 ? 0 : fault.read_until_ns - moment_ns_;
  const uint64_t copy_ns = now - moment_ns_ - read_ns;
  moment_ns_ = now;
  counters.add(Count::fault_ns, now - fault.since_ns);
  counters.add(Count::read_ns, read_ns);
  counters.raise(Count::read_max_ns, read_ns);
  counters.add(Count::copy_ns, copy_ns);
  counters.raise(Count::copy_max_ns, copy_ns);
  counters.raise(Count::fault_max_ns, now - fault.since_ns);
  counters.latency.record(now - fault.since_ns);
}

bool FaultLoop::has_idle_work() const {
  return rests_.has_work() ||
         (parts_.state.paused == 0 && (hot_.has_work() || completer_.has_work()));
}

// Installs one piece that no fault waits for.
void FaultLoop::do_idle_work() {
  const uint64_t bytes = piece_bytes();
  const bool in_window = rests_.has_work();
  const Stop stop = in_window         ? rests_.piece(bytes)
                    : hot_.has_work() ? hot_piece(bytes)
                                      : completer_.piece(bytes);
  idle_blocked_ = stop == Stop::again;
  follow(stop);
  if (completer_.detached()) {
    kept_.clear();
    rests_.clear();
  }
  if (!in_window && !has_idle_work()) {
    cold_.rest();
  }
}

Stop FaultLoop::hot_piece(uint64_t bytes) {
  const uint64_t before = table_.installed_bytes();
  const Stop stop = hot_.piece(bytes);
  parts_.counters.add(Count::bytes_by_list, table_.installed_bytes() - before);
  return stop;
}

// A fault that arrives during a piece waits for the end of that piece. Measured: 128 KiB take 45
// us, a fault takes 10 us. So while the guest faults, a piece is a quarter of kMaxBytes (32 KiB). A
// piece of the full size has half the overhead per page and is used after kRecentNs.
uint64_t FaultLoop::piece_bytes() const {
  return moment_ns_ - last_fault_ns_ < kRecentNs ? PageFiller::kMaxBytes / 4
                                                 : PageFiller::kMaxBytes;
}

// Maps the pages around a fault that was just answered, if it came so long after the one before it
// that the next will probably not wait for this.
void FaultLoop::map_around_lone_fault() {
  const std::optional<uint64_t> address = std::exchange(lone_fault_, std::nullopt);
  const PageTable::RegionPages* in =
      address && !over_ ? table_.region_of_address(*address) : nullptr;
  if (in != nullptr) {
    table_.set_reading(true);
    parts_.image.mapped_pages().add(PageTable::offset_of(*in, PageTable::page_at(*in, *address)));
    table_.set_reading(false);
  }
}

// What the end of a piece means for the other work.
void FaultLoop::follow(Stop stop) {
  over_ = over_ || stop == Stop::over;
  if (stop == Stop::no_memory) {
    hot_.drop(!completer_.has_work());  // a completion reports it
    rests_.clear();
  }
}

// Checks only while the guest faults; an idle guest does not read the image.
void FaultLoop::check_image() {
  if (parts_.image.view() == Image::View::unprotected &&
      moment_ns_ >= image_checked_ns_ + kSecond) {
    image_checked_ns_ = moment_ns_;
    table_.set_reading(true);
    parts_.image.warn_if_changed();
    table_.set_reading(false);
  }
}

std::optional<uint64_t> FaultLoop::wait_ns() const {
  if (last_batch_ == SessionState::kEvents) {
    return 0;  // there may be more, and VmmWatch does not report a message twice
  }
  std::optional<uint64_t> wait;
  const auto no_later_than = [&](uint64_t ns) { wait = std::min(wait.value_or(ns), ns); };
  if (!kept_.empty()) {
    const uint64_t due = kept_.due_ns();
    no_later_than(due == 0 ? kRemovalWaitNs : ns_until(due));
  }
  if (has_idle_work()) {
    no_later_than(idle_blocked_       ? kRemovalWaitNs
                  : rests_.has_work() ? ns_until(rests_.due_ns())
                  : hot_.has_work()   ? ns_until(hot_.due_ns())
                                      : ns_until(completer_.due_ns()));
  }
  if (healer_.has_work()) {
    no_later_than(ns_until(healer_.due_ns()));
  }
  return wait;
}

void FaultLoop::flush() const {
  if (parts_.trace != nullptr) {
    parts_.trace->flush();
  }
}

}  // namespace pager
