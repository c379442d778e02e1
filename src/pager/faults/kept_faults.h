// SPDX-License-Identifier: Apache-2.0
// The faults that wait for a removal, for memory, or for another read of the image.
#pragma once

#include <cstdint>
#include <vector>

#include "pager/faults/counters.h"
#include "pager/faults/fault.h"

namespace pager {

// Decides when a fault is tried again. Has no part in SessionState: a successor wakes all threads,
// and their faults are raised again. Belongs to one thread.
class KeptFaults {
 public:
  explicit KeptFaults(Counters& counters) : counters_(counters) {}

  // Keeps a fault whose answer is `why`, one of the waits. The same page may fault again while a
  // fault of it is kept (another vCPU, a signal). One entry for each address is enough, because an
  // answer wakes all threads.
  void keep(Fault fault, Answer why);

  // Calls `serve(fault)` for each fault that is due at `now_ns`, and forgets the fault unless
  // `serve` keeps it again. Call it after a read of events.
  template <typename Serve>
  void retry(uint64_t now_ns, const Serve& serve) {
    if (kept_.empty()) {
      return;
    }
    retried_.swap(kept_);
    for (const Fault& fault : retried_) {
      if (fault.not_before_ns > now_ns) {
        kept_.push_back(fault);
      } else {
        counters_.add(Count::retries);
        serve(fault);
      }
    }
    retried_.clear();
    counters_.set(Count::waiting, kept_.size());
  }

  bool empty() const { return kept_.empty(); }
  // Whether a fault waits for the next read of events.
  bool wait_for_events() const;
  // CLOCK_MONOTONIC of the next attempt; 0: after the next read of events. Not if it is empty.
  uint64_t due_ns() const;
  // For faults that the kernel has answered.
  void clear();

 private:
  Counters& counters_;
  std::vector<Fault> kept_;
  std::vector<Fault> retried_;  // only used by retry(); its memory is reused
};

}  // namespace pager
