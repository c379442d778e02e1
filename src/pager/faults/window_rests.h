// SPDX-License-Identifier: Apache-2.0
// The rests of windows: pages around a fault that are installed while no fault waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "pager/faults/cold_pages.h"
#include "pager/faults/counters.h"
#include "pager/faults/page_filler.h"
#include "pager/faults/session_state.h"
#include "pager/faults/window.h"
#include "pager/faults/window_credit.h"
#include "pager/image/image.h"

namespace pager {

// A queue of page spans. Has no part in SessionState: a guest that still wants the pages of a lost
// span faults again. The arguments of the constructor must outlive it. Belongs to one thread.
class WindowRests {
 public:
  WindowRests(const PageTable& table, PageFiller& filler, const Image& image, ColdPages& cold,
              WindowCredit& credit, const Counters& counters)
      : table_(table),
        filler_(filler),
        image_(image),
        cold_(cold),
        credit_(credit),
        counters_(counters) {}

  // A guest with random accesses gets the rest of the aligned 128 KiB around a fault once it has
  // touched kDense pages of them, and the rest of the aligned 2 MiB once kDenseWide pages of them
  // are present. Touching 256 MiB in random order then takes 4000 faults instead of 65,536, while a
  // guest that touches 1 % of its pages still gets single pages.
  static constexpr uint64_t kDense = 4;
  static constexpr uint64_t kDenseWide = 32;
  // At most 128 MiB of pending spans. If the queue is full, the guest faults faster than the server
  // installs, and further spans would be installed too late.
  static constexpr size_t kMostSpans = 64;

  // Queues the part of the span that lies in the region, unless a queued span contains it or the
  // queue is full.
  void add(const PageTable::RegionPages& in, PageSpan span);
  // Queues the area around a page, which was just installed, if the guest has touched enough of it.
  // For 4 KiB pages. Do not call it if a hot list was given: the number of installed pages then
  // does not show what the guest touches.
  void add_if_dense(const PageTable::RegionPages& in, uint64_t page);

  bool has_work() const { return !rests_.empty(); }
  // The oldest span is being read from the disk: call piece() again at due_ns().
  uint64_t due_ns() const { return due_ns_; }
  // Installs at most `bytes`, or one page, of the oldest span: untouched pages that are in the page
  // cache. Others are read by another thread. Pages that
  // cannot be read or installed are left to later faults, which report the error. Without credit
  // the span is dropped.
  Stop piece(uint64_t bytes);
  void clear() { rests_.clear(); }

 private:
  struct Rest {
    const PageTable::RegionPages* in;
    PageSpan span;
  };
  void read_cold_pages(const Rest& rest, uint64_t page);
  uint64_t touched(const PageTable::RegionPages& in, const PageSpan& span) const;

  const PageTable& table_;
  PageFiller& filler_;
  const Image& image_;
  ColdPages& cold_;
  WindowCredit& credit_;
  const Counters& counters_;
  std::deque<Rest> rests_;
  std::vector<uint64_t> selected_;  // pages of the current piece
  std::vector<uint64_t> to_read_;
  uint64_t due_ns_ = 0;
};

}  // namespace pager
