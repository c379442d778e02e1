// SPDX-License-Identifier: Apache-2.0
// FaultLoop: what follows if a page cannot simply be installed. Every fault gets an answer.
#include <algorithm>
#include <cerrno>
#include <limits>
#include <string>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "pager/faults/fault_loop.h"
#include "pager/kernel/clock.h"
#include "pager/kernel/features.h"
#include "pager/kernel/migrate_core.h"

namespace pager {
namespace {

std::string error_text(int error) {
  return error == ENODATA
             ? "the file was truncated"
             : std::generic_category().message(error) + " (errno " + std::to_string(error) + ")";
}

// Pages of one round: 128 KiB, as much as one call of PageFiller.
constexpr int kHealPages = 32;
// A pass ends after this number of consecutive pages that cannot be read.
constexpr int kHealFailures = 64;
constexpr uint64_t kLongestHealWait = 60 * kSecond;

// Doubles with each round, from `first` up to one second.
uint64_t back_off(uint64_t first, int round) {
  return std::min(first << static_cast<unsigned>(std::min(round, 20)), kSecond);
}

}  // namespace

FaultLoop::Answer FaultLoop::handle_result(Fault& fault, const PageTable::RegionPages& in,
                                           const Filled& filled) {
  const uint64_t page = PageTable::page_at(in, fault.address);
  read_ns_ = filled.read_ns;
  if (filled.stop == Stop::over) {
    over_ = true;
    return Answer::given;
  }
  if (filled.answered) {
    missed_moments_ = 0;
    parts_.counters.add(Count::zero_faults, filler_.is_zero(in, page) ? 1 : 0);
    parts_.counters.add(Count::hit_before, filled.present_before ? 1 : 0);
    if (!filled.present_before) {
      huge_rounds_.erase(page);
    } else if (in.region.page_size == hot::kHugePage && !table_.installed(page)) {
      // On 2 MiB pages EEXIST means that the page is present or that the pool is empty. The waiting
      // threads were woken. If the page faults repeatedly, the pool is empty.
      ++huge_rounds_[page];
    }
    return Answer::given;
  }
  switch (filled.stop) {
    case Stop::again:
      fault.not_before_ns = 0;
      if (++missed_moments_ == kMissedMoments) {
        missed_moments_ = 0;
        static_cast<void>(move_to_other_core());
      }
      return Answer::keep;
    case Stop::no_memory:
      return wait_for_memory(fault, in.region.page_size);
    case Stop::unreadable:
      return unreadable(fault, in, filled.error);
    case Stop::gone:
      // The page is no longer registered. After the wake the kernel handles the fault itself.
      uffd_wake(parts_.uffd, PageTable::address_of(in, page), in.region.page_size);
      return Answer::given;
    default:
      return give_up(fault, &in, "cannot install it: " + error_text(filled.error));
  }
}

FaultLoop::Answer FaultLoop::wait_for_memory(Fault& fault, uint64_t page_size) {
  if (memory_log_.admit()) {
    parts_.log.warn(std::string(page_size == hot::kHugePage
                                    ? "the pool of 2 MiB pages is empty"
                                    : "the VMM has reached its memory limit") +
                    "; its faults wait until memory is available" + memory_log_.note());
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
  return give_up(fault, &in, "cannot read it: " + error_text(error));
}

FaultLoop::Answer FaultLoop::give_up(const Fault& fault, const PageTable::RegionPages* in,
                                     const std::string& why) {
  const uint64_t size = in != nullptr ? in->region.page_size : hot::kSmallPage;
  const uint64_t address = fault.address - fault.address % size;
  const std::string page =
      in != nullptr
          ? "page at offset " + std::to_string(in->region.offset + (address - in->region.base)) +
                " of " + base::quoted(parts_.image.path())
          : "page at address " + std::to_string(address);
  if (parts_.state.on_failure == OnFailure::poison && features().has(Feature::poison)) {
    int error = 0;
    int repeats = kRemovalRetries;
    do {
      error = uffd_poison(parts_.uffd, address, size).error;
    } while (error == EAGAIN && repeats-- > 0 && !uffd_readable(parts_.uffd));
    switch (error) {
      case 0:
        parts_.counters.add(Count::pages_poisoned);
        if (in != nullptr) {
          remember_poisoned(PageTable::page_at(*in, address));
        }
        if (poison_log_.admit()) {
          parts_.log.warn(page + ": " + why + "; poisoned: a touch raises SIGBUS in the VMM" +
                          poison_log_.note());
        }
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
        break;  // before Linux 6.6, or not a page of this session
    }
  }
  kill_vmm(page + ": " + why);
  return Answer::given;
}

void FaultLoop::kill_vmm(const std::string& why) {
  over_ = true;
  parts_.log.warn(why +
                  (parts_.vmm.kill() ? "; killed the VMM" : "; cannot kill the VMM, which hangs"));
}

void FaultLoop::remember_poisoned(uint64_t page) {
  if (table_.poisoned_pages() == 0) {
    heal_not_before_ns_ = std::numeric_limits<uint64_t>::max();
  }
  table_.mark_poisoned(page);
  heal_wait_ns_ = kSecond;
  heal_not_before_ns_ = std::min(heal_not_before_ns_, monotonic_ns() + heal_wait_ns_);
}

// The kernel does not report that a disk works again, so poisoned pages are read again after 1 s, 2
// s, up to 60 s. One call is one round of a pass over them. A round reads at most kHealPages pages,
// and at most one page that cannot be read, because a fault that arrives waits for the end of the
// round. A pass ends early if kHealFailures pages fail; the next pass starts after them.
void FaultLoop::heal() {
  const uint64_t healed_before = table_.healed_pages();
  bool pass_ended = false;
  for (int i = 0; i < kHealPages && !over_ && !pass_ended; ++i) {
    const std::optional<uint64_t> page = table_.next_poisoned(heal_next_);
    if (!page) {
      heal_next_ = 0;
      pass_ended = true;
      break;
    }
    selected_ = {*page};
    const Stop stop = fill_selected(table_.region_of_page(*page));
    if (stop == Stop::again) {
      heal_not_before_ns_ = monotonic_ns() + kMillisecond;
      break;
    }
    heal_next_ = *page + 1;
    if (table_.poisoned(*page)) {
      pass_ended = ++heal_failures_ >= kHealFailures;
      break;
    }
    heal_failures_ = 0;
  }
  if (const uint64_t healed = table_.healed_pages() - healed_before; healed > 0) {
    heal_wait_ns_ = kSecond;
    healed_unlogged_ += healed;
  }
  if (pass_ended) {
    heal_failures_ = 0;
    heal_wait_ns_ = std::min(std::max(heal_wait_ns_, kSecond) * 2, kLongestHealWait);
    heal_not_before_ns_ = monotonic_ns() + heal_wait_ns_;
  }
  if (healed_unlogged_ > 0 && (pass_ended || table_.poisoned_pages() == 0) && heal_log_.admit()) {
    parts_.log.warn(std::to_string(std::exchange(healed_unlogged_, 0)) + " poisoned pages of " +
                    base::quoted(parts_.image.path()) + " are readable again and repaired; " +
                    std::to_string(table_.poisoned_pages()) + " are still poisoned");
  }
}

}  // namespace pager
