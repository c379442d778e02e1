// SPDX-License-Identifier: Apache-2.0
// Selects the pages that a probe removes while it runs, and tracks the state of each.
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

// The state of a page only advances. The verification reads the state before and after the page: if
// it is `normal` both times, the page has the file's bytes; if it is `removed` before, the page is
// zero; otherwise a removal overlapped and nothing is compared.
enum class PageState : uint8_t {
  normal,
  leaving,  // madvise runs, or is about to run
  removed,  // madvise has returned: zeros from then on
};

class PageStates {
 public:
  explicit PageStates(uint64_t pages) : states_(pages) {}
  PageState get(PageNumber page) const { return states_[page].load(std::memory_order_acquire); }
  // Returns whether the page is still in `state` after this thread has read it. A plain load could
  // be moved before these reads; a compare-exchange that releases cannot.
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

// Consecutive pages.
struct PageRun {
  PageNumber first = 0;
  PageNumber count = 0;
  bool operator==(const PageRun&) const = default;
};

// Divides memory into runs of 1 to 16 pages, as balloon drivers remove them, and returns each once.
class BalloonPlan {
 public:
  // No run contains a page for which `keeps` is true, and none crosses a region. `region_end`
  // returns the end of the region of a page.
  BalloonPlan(uint64_t pages, const std::function<bool(PageNumber)>& keeps,
              const std::function<uint64_t(PageNumber)>& region_end, uint64_t seed);

  // The run that contains `page`; nothing if it was taken or the page is kept.
  std::optional<PageRun> take_at(PageNumber page);
  // Any run; nothing if none is left.
  std::optional<PageRun> take_any();

 private:
  std::optional<PageRun> take(size_t index);

  std::vector<PageRun> runs_;  // ascending
  std::vector<bool> taken_;    // of each run
  std::vector<size_t> order_;  // of runs, shuffled
  size_t next_ = 0;            // in order_
};

}  // namespace pager
