// SPDX-License-Identifier: Apache-2.0
// The delays of kept faults.
#include "pager/faults/kept_faults.h"

#include <algorithm>

#include "pager/kernel/clock.h"

namespace pager {
namespace {

// Doubles with each round, from `first` up to one second.
uint64_t back_off(uint64_t first, int round) {
  return std::min(first << static_cast<unsigned>(std::min(round, 20)), kSecond);
}

}  // namespace

void KeptFaults::keep(Fault fault, Answer why) {
  switch (why) {
    case Answer::no_memory:
      fault.not_before_ns = monotonic_ns() + back_off(10 * kMillisecond, fault.waits++);
      break;
    case Answer::read_again:
      fault.not_before_ns =
          monotonic_ns() + back_off(kMillisecond, 2 * (static_cast<int>(fault.reads) - 1));
      break;
    default:
      fault.not_before_ns = 0;
      break;
  }
  const bool known = std::ranges::any_of(
      kept_, [&](const Fault& other) { return other.address == fault.address; });
  if (!known) {
    fault.kept = true;
    kept_.push_back(fault);
  }
  counters_.set(Count::waiting, kept_.size());
}

bool KeptFaults::wait_for_events() const {
  return std::ranges::any_of(kept_, [](const Fault& fault) { return fault.not_before_ns == 0; });
}

uint64_t KeptFaults::due_ns() const {
  return std::ranges::min(kept_, {}, &Fault::not_before_ns).not_before_ns;
}

void KeptFaults::clear() {
  kept_.clear();
  counters_.set(Count::waiting, 0);
}

}  // namespace pager
