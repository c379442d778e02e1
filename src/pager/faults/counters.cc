// SPDX-License-Identifier: Apache-2.0
// Adds up counters and reads them from other threads.
#include "pager/faults/counters.h"

#include <algorithm>

namespace pager {

void Totals::add(const Totals& other) {
  for (size_t i = 0; i < kCounts; ++i) {
    values[i] = kCounters[i].kind == CounterText::Kind::maximum
                    ? std::max(values[i], other.values[i])
                    : values[i] + other.values[i];
  }
}

void Totals::forget_gauges() {
  for (size_t i = 0; i < kCounts; ++i) {
    values[i] = kCounters[i].kind == CounterText::Kind::gauge ? 0 : values[i];
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
