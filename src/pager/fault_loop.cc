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
  if (last_batch_ == 0 && hot_ && !blocked && !over_) {
    prefetch_piece();
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
  if (hot_) {
    const uint64_t piece = hot_blocked_ ? kRemovalWaitNs : 0;
    wait = std::min(wait.value_or(piece), piece);
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
  // A fault that was kept gets its page alone: it has waited long enough, and is no new step of a
  // walk.
  const uint64_t pages = fault.kept ? 1 : window_.pages_for(page);
  Run run = filler_.run_from(*in, page, pages - 1, window_.zero_block());
  Filled filled = filler_.fill(run, page, kPatience);
  if (!filled.answered && run.count > 1 &&
      (filled.stop == Stop::unreadable || filled.stop == Stop::gone)) {
    // Perhaps only a neighbour cannot be read, or the VMM has split the mapping beside this page.
    run = {.in = in, .first = page, .count = 1, .zero = run.zero};
    filled = filler_.fill(run, page, kPatience);
  }
  if (!fault.kept) {
    window_.installed_until(run.end());
  }
  return follow(fault, *in, run, filled);
}

FaultLoop::Answer FaultLoop::follow(Fault& fault, const PageTable::RegionPages& in, const Run& run,
                                    const Filled& filled) {
  const uint64_t page = PageTable::page_at(in, fault.address);
  read_ns_ = filled.read_ns;
  if (filled.stop == Stop::over) {
    over_ = true;
    return Answer::given;
  }
  if (filled.answered) {
    parts_.counters.add(Count::zero_faults, run.zero ? 1 : 0);
    parts_.counters.add(Count::hit_before, filled.present_before ? 1 : 0);
    if (!filled.present_before) {
      memory_warned_ = false;
      huge_rounds_.erase(page);
    } else if (in.region.page_size == kHugePage && !table_.installed(page)) {
      // On 2 MiB pages EEXIST means "present" or "the pool is empty". Who waited was woken; when
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
  if (++fault.reads < kReadAttempts) {
    fault.not_before_ns = monotonic_ns() + back_off(kMillisecond, 2 * (fault.reads - 1));
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

void FaultLoop::prefetch_piece() {
  const size_t start = next_hot_;
  uint64_t bytes = 0;
  piece_.clear();
  while (next_hot_ < hot_->pages.size() && bytes < PageFiller::kMaxRunBytes) {
    const HotPage& hot = hot_->pages[next_hot_++];
    const PageTable::RegionPages& in = table_.regions()[hot.region];
    const uint64_t page = in.first_page + hot.offset / in.region.page_size;
    if (table_.untouched(page)) {
      piece_.push_back(page);
      bytes += in.region.page_size;
    }
  }
  // In the order of addresses, neighbours are read and installed in one call.
  std::ranges::sort(piece_);
  piece_.erase(std::unique(piece_.begin(), piece_.end()), piece_.end());
  hot_blocked_ = !fill_piece();
  if (hot_blocked_) {
    next_hot_ = start;  // what was installed is passed over the next time
  } else if (hot_ && next_hot_ == hot_->pages.size()) {
    parts_.log.detail("hot list installed");
    hot_.reset();
  }
}

bool FaultLoop::fill_piece() {
  for (size_t i = 0; i < piece_.size() && !over_;) {
    const PageTable::RegionPages& in = table_.region_of_page(piece_[i]);
    Run run{.in = &in, .first = piece_[i], .count = 1, .zero = filler_.is_zero(in, piece_[i])};
    for (++i; i < piece_.size() && piece_[i] == run.end() && run.end() < PageTable::end_page(in) &&
              filler_.is_zero(in, piece_[i]) == run.zero;
         ++i) {
      ++run.count;
    }
    const Filled filled = filler_.fill(run, std::nullopt, 0);
    parts_.counters.add(Count::pages_prefetched, filled.pages);
    switch (filled.stop) {
      case Stop::again:
        return false;
      case Stop::over:
        over_ = true;
        break;
      case Stop::no_memory:
        parts_.log.warn("the VMM may not have more memory; the rest of the hot list is dropped");
        hot_.reset();
        return true;
      default:
        break;  // what cannot be read or installed is left to the faults, which report it
    }
  }
  return true;
}

}  // namespace pager
