// SPDX-License-Identifier: Apache-2.0
// The pages of an answer, and the consequences of each result of the kernel.
#include "pager/faults/fault_handler.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/error.h"
#include "pager/kernel/features.h"
#include "pager/kernel/migrate_core.h"
#include "pager/kernel/uffd.h"

namespace pager {
namespace {

std::string error_text(int error) {
  return error == ENODATA
             ? "the file was truncated"
             : std::generic_category().message(error) + " (errno " + std::to_string(error) + ")";
}

}  // namespace

void FaultHandler::set_window(const Window& window) {
  window_ = window;
  loop_.state.window_pages = static_cast<uint32_t>(window.setting());
  loop_.state.window_bytes.factor = window.factor();
}

FaultHandler::FaultHandler(const FaultLoopParts& loop, const Parts& parts, const Window& window)
    : loop_(loop), parts_(parts), window_(window) {
  set_window(window);
}

Answer FaultHandler::answer(Fault& fault) {
  fault.read_until_ns = 0;
  const PageTable::RegionPages* in = parts_.table.region_of_address(fault.address);
  if (in == nullptr) {
    return give_up(fault, in, "the address is in none of the regions of the handshake");
  }
  const uint64_t page = PageTable::page_at(*in, fault.address);
  if (const auto rounds = huge_rounds_.find(page);
      rounds != huge_rounds_.end() && rounds->second >= kHugeRounds && !fault.kept) {
    fault.waits = rounds->second - kHugeRounds;
    return wait_for_memory(in->region.page_size);
  }
  const Window::Plan plan = plan_for(fault, *in, page);
  const uint64_t before = loop_.counters.get(Count::pages_copied);
  const Filled filled = fill(*in, plan.now, page);
  if (const uint64_t copied = loop_.counters.get(Count::pages_copied) - before; copied > 0) {
    parts_.credit.add_installed(copied * in->region.page_size);
    parts_.credit.add_asked(in->region.page_size);
  }
  fault.read_until_ns = filled.read_until_ns;
  if (filled.answered && !filled.present_before) {
    queue_rest(*in, page, plan.later);
  }
  if (filled.stop == Stop::over) {
    return Answer::over;
  }
  return filled.answered ? given(*in, page, filled) : not_given(fault, *in, filled);
}

Window::Plan FaultHandler::plan_for(const Fault& fault, const PageTable::RegionPages& in,
                                    uint64_t page) {
  const Window::Plan alone{.now = {.first = page, .count = 1}, .later = {}, .walked = {}};
  // A kept fault has waited long enough and is not a new step of a sequential walk. A fault on an
  // installed page is that of another vCPU, raised just before the page was installed.
  if (fault.kept || in.region.page_size != hot::kSmallPage || parts_.table.installed(page)) {
    return alone;
  }
  const Window::Plan plan = window_.plan(page);
  if (plan.now.count == 1 && parts_.filler.is_zero(in, page)) {
    const uint64_t block = window_.zero_block();
    return {.now = {.first = page - (page - in.first_page) % block, .count = block},
            .later = {},
            .walked = {}};
  }
  if (plan.walked.count > 0) {
    const uint64_t first = std::max(plan.walked.first, in.first_page);
    parts_.credit.add_asked(parts_.table.count_installed(first, std::max(page, first) - first) *
                            in.region.page_size);
  }
  return within_credit(plan, page);
}

// Shortens what is installed at once. WindowRests does the same with the rest.
Window::Plan FaultHandler::within_credit(Window::Plan plan, uint64_t page) const {
  const uint64_t room = parts_.credit.room(hot::kSmallPage) / hot::kSmallPage;
  if (plan.now.count - 1 > room) {
    const uint64_t before = page - plan.now.first <= room ? page - plan.now.first : 0;
    plan.now = {.first = page - before,
                .count = before + 1 + std::min(room - before, plan.now.end() - page - 1)};
  }
  return plan;
}

// Selects the wanted page and the untouched pages of `span`. If the wanted page was removed, other
// removed pages are selected too. If the span is larger than a window, it surrounds a hole, and
// only holes are selected.
void FaultHandler::select(const PageTable::RegionPages& in, const PageSpan& span, uint64_t wanted) {
  const PageTable& table = parts_.table;
  const bool removed = table.removed(wanted);
  const bool only_zeros = span.count > Window::kMostAtOnce;
  const uint64_t end = std::min(span.end(), PageTable::end_page(in));
  selected_.clear();
  for (uint64_t page = std::max(span.first, in.first_page); page < end; ++page) {
    const bool fits = table.untouched(page) ? !only_zeros || parts_.filler.is_zero(in, page)
                                            : removed && !table.installed(page);
    if (page == wanted || fits) {
      selected_.push_back(page);
    }
  }
}

Filled FaultHandler::fill(const PageTable::RegionPages& in, const PageSpan& span, uint64_t wanted) {
  select(in, span, wanted);
  Filled filled = parts_.filler.fill(in, selected_, wanted, kRemovalRetries);
  if (!filled.answered && selected_.size() > 1 &&
      (filled.stop == Stop::unreadable || filled.stop == Stop::gone)) {
    // Maybe only an adjacent page cannot be read, or the VMM has split the mapping next to this
    // page. Try the wanted page alone.
    selected_ = {wanted};
    filled = parts_.filler.fill(in, selected_, wanted, kRemovalRetries);
  }
  return filled;
}

void FaultHandler::queue_rest(const PageTable::RegionPages& in, uint64_t page,
                              const PageSpan& later) {
  if (later.count > 0) {
    parts_.rests.add(in, later);
  }
  if (window_.is_automatic() && !parts_.hot.was_given() && in.region.page_size == hot::kSmallPage) {
    parts_.rests.add_if_dense(in, page);
  }
}

Answer FaultHandler::given(const PageTable::RegionPages& in, uint64_t page, const Filled& filled) {
  missed_moments_ = 0;
  loop_.counters.add(Count::zero_faults, parts_.filler.is_zero(in, page) ? 1 : 0);
  loop_.counters.add(Count::hit_before, filled.present_before ? 1 : 0);
  if (!filled.present_before) {
    huge_rounds_.erase(page);
  } else if (in.region.page_size == hot::kHugePage && !parts_.table.installed(page)) {
    // On 2 MiB pages EEXIST means that the page is present or that the pool is empty. The waiting
    // threads were woken. If the page faults repeatedly, the pool is empty.
    ++huge_rounds_[page];
  }
  return Answer::given;
}

Answer FaultHandler::not_given(Fault& fault, const PageTable::RegionPages& in,
                               const Filled& filled) {
  switch (filled.stop) {
    case Stop::again:
      if (++missed_moments_ == kMissedMoments) {
        missed_moments_ = 0;
        static_cast<void>(move_to_other_core());
      }
      return Answer::removal;
    case Stop::no_memory:
      return wait_for_memory(in.region.page_size);
    case Stop::unreadable:
      return unreadable(fault, in, filled.error);
    case Stop::gone:
      // The page is no longer registered. After the wake the kernel handles the fault itself.
      uffd_wake(loop_.uffd, fault.address - fault.address % in.region.page_size,
                in.region.page_size);
      return Answer::given;
    default:
      return give_up(fault, &in, "cannot install it: " + error_text(filled.error));
  }
}

Answer FaultHandler::wait_for_memory(uint64_t page_size) {
  if (memory_log_.admit()) {
    loop_.log.warn(std::string(page_size == hot::kHugePage
                                   ? "the pool of 2 MiB pages is empty"
                                   : "the VMM has reached its memory limit") +
                   "; its faults wait until memory is available" + memory_log_.note());
  }
  loop_.counters.add(Count::out_of_memory);
  return Answer::no_memory;
}

Answer FaultHandler::unreadable(Fault& fault, const PageTable::RegionPages& in, int error) {
  if (++fault.reads < loop_.state.read_attempts) {
    return Answer::read_again;
  }
  return give_up(fault, &in, "cannot read it: " + error_text(error));
}

// The errno of UFFDIO_POISON, which is repeated while it meets a removal in progress.
int FaultHandler::poison(uint64_t address, uint64_t size) const {
  int error = 0;
  int repeats = kRemovalRetries;
  do {
    error = uffd_poison(loop_.uffd, address, size).error;
  } while (error == EAGAIN && repeats-- > 0 && !uffd_readable(loop_.uffd));
  return error;
}

Answer FaultHandler::give_up(const Fault& fault, const PageTable::RegionPages* in,
                             const std::string& why) {
  const uint64_t size = in != nullptr ? in->region.page_size : hot::kSmallPage;
  const uint64_t address = fault.address - fault.address % size;
  const std::string page =
      in != nullptr
          ? "page at offset " + std::to_string(in->region.offset + (address - in->region.base)) +
                " of " + base::quoted(loop_.image.path())
          : "page at address " + std::to_string(address);
  if (loop_.state.on_failure == OnFailure::poison && features().has(Feature::poison)) {
    switch (poison(address, size)) {
      case 0:
        loop_.counters.add(Count::pages_poisoned);
        if (in != nullptr) {
          parts_.healer.add(PageTable::page_at(*in, address));
        }
        if (poison_log_.admit()) {
          loop_.log.warn(page + ": " + why + "; poisoned: a touch raises SIGBUS in the VMM" +
                         poison_log_.note());
        }
        return Answer::given;
      case EAGAIN:
        return Answer::removal;
      case EEXIST:
      case ENOENT:
        uffd_wake(loop_.uffd, address, size);
        return Answer::given;
      case ESRCH:
        return Answer::over;
      default:
        break;  // before Linux 6.6, or not a page of this session
    }
  }
  kill_vmm(page + ": " + why);
  return Answer::over;
}

void FaultHandler::kill_vmm(const std::string& why) {
  loop_.log.warn(why +
                 (loop_.vmm.kill() ? "; killed the VMM" : "; cannot kill the VMM, which hangs"));
}

void FaultHandler::report_suppressed() const {
  if (const uint64_t more = poison_log_.suppressed(); more > 0) {
    loop_.log.warn(std::to_string(more) + " more pages were poisoned and not logged");
  }
}

}  // namespace pager
