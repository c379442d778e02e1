// SPDX-License-Identifier: Apache-2.0
// Which pages a probe gives back while it runs, and what each may be read as from then on.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "pager/probe/order.h"
#include "pager/probe/random.h"

namespace pager {

// A page only ever goes on to the next state. Who verifies looks at the state before and after it
// looks at the page: `normal` both times means the file's bytes, `removed` before means zeros, and
// all else was overtaken by the removal.
enum class PageState : uint8_t {
  normal,
  leaving,  // madvise is under way, or about to be
  removed,  // madvise has returned: zeros, for ever
};

class PageStates {
 public:
  explicit PageStates(uint64_t pages) : states_(pages) {}
  PageState get(PageNumber page) const { return states_[page].load(std::memory_order_acquire); }
  // Whether it is in `state` even now, after all that this thread has read of the page. (A plain
  // load could be moved before these reads; an exchange that also releases cannot.)
  bool is_still(PageNumber page, PageState state) {
    PageState expected = state;
    return states_[page].compare_exchange_strong(expected, state, std::memory_order_acq_rel);
  }
  void set(PageNumber page, PageState state) {
    states_[page].store(state, std::memory_order_seq_cst);
  }

 private:
  std::vector<std::atomic<PageState>> states_;
};

// Pages that follow each other.
struct PageRun {
  PageNumber first = 0;
  PageNumber count = 0;
  bool operator==(const PageRun&) const = default;
};

// Cuts memory into runs of 1 to 16 pages, as balloon drivers give back, and hands out each once.
class BalloonPlan {
 public:
  // No run holds a page for which `keeps` is true, or crosses a region: `region_end` says where the
  // region of a page ends.
  BalloonPlan(uint64_t pages, const std::function<bool(PageNumber)>& keeps,
              const std::function<uint64_t(PageNumber)>& region_end, uint64_t seed);

  // The run that holds `page`; nothing when it was handed out, or is kept.
  std::optional<PageRun> take_at(PageNumber page);
  // Any run; nothing when none is left.
  std::optional<PageRun> take_any();

 private:
  std::optional<PageRun> take(size_t index);

  std::vector<PageRun> runs_;  // ascending
  std::vector<bool> taken_;    // of each run
  std::vector<size_t> order_;  // of runs, shuffled
  size_t next_ = 0;            // in order_
};

}  // namespace pager
