// SPDX-License-Identifier: Apache-2.0
// Reads poisoned pages again, and repairs those that have become readable.
#pragma once

#include <cstdint>

#include "base/log_limit.h"
#include "pager/faults/page_filler.h"
#include "pager/faults/session_log.h"
#include "pager/faults/session_state.h"
#include "pager/image/image.h"

namespace pager {

// The kernel does not report that a disk works again, so poisoned pages are read again after 1 s, 2
// s, up to 60 s. The poisoned pages are a bitmap of the state (PageTable); a successor begins with
// a pass over them. The arguments of the constructor must outlive it. Belongs to one thread.
class PoisonHealer {
 public:
  PoisonHealer(PageTable& table, PageFiller& filler, const Image& image, const SessionLog& log)
      : table_(table), filler_(filler), image_(image), log_(log) {}

  // Pages of one round: 128 KiB, as much as one call of PageFiller.
  static constexpr int kRoundPages = 32;
  // A pass ends after this number of consecutive pages that cannot be read.
  static constexpr int kMostFailures = 64;

  // The page was poisoned: it is read again within a second.
  void add(uint64_t page);

  bool has_work() const { return table_.poisoned_pages() > 0; }
  // CLOCK_MONOTONIC of the next piece.
  uint64_t due_ns() const { return not_before_ns_; }
  // One round of a pass. It reads at most kRoundPages pages, and at most one page that cannot be
  // read, because a fault that arrives waits for the end of the round. A pass ends early after
  // kMostFailures; the next pass begins after them. Returns the result of the last page.
  Stop piece();

 private:
  void end_pass();
  void log_healed(bool pass_ended);

  PageTable& table_;
  PageFiller& filler_;
  const Image& image_;
  const SessionLog& log_;
  uint64_t not_before_ns_ = 0;
  uint64_t wait_ns_ = 0;          // between passes
  uint64_t next_ = 0;             // page: where the pass continues
  int failures_ = 0;              // consecutive, in this pass
  uint64_t healed_unlogged_ = 0;  // healed pages that were not logged yet
  base::LogLimit log_limit_;
};

}  // namespace pager
