// SPDX-License-Identifier: Apache-2.0
// Adds up counters and reads them from other threads.
#include "pager/faults/counters.h"

#include <algorithm>

namespace pager {

void Totals::add(const Totals& other) {
  for (size_t i = 0; i < kCounts; ++i) {
    const auto count = static_cast<Count>(i);
    const bool maximum = count == Count::read_max_ns || count == Count::copy_max_ns ||
                         count == Count::fault_max_ns || count == Count::batch_max;
    values[i] = maximum ? std::max(values[i], other.values[i]) : values[i] + other.values[i];
  }
}

void Totals::forget_gauges() {
  for (const Count gauge : {Count::waiting, Count::bytes_resident}) {
    values[static_cast<size_t>(gauge)] = 0;
  }
}

Totals Counters::totals() const {
  Totals totals;
  for (size_t i = 0; i < kCounts; ++i) {
    totals.values[i] = values_[i].load(std::memory_order_relaxed);
  }
  return totals;
}

}  // namespace pager
