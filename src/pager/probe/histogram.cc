// SPDX-License-Identifier: Apache-2.0
// Maps times to buckets, and computes percentiles.
#include "pager/probe/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace pager {

size_t Histogram::bucket_of(uint64_t ns) {
  if (ns < (uint64_t{1} << kExactBits)) {
    return ns;
  }
  // The kExactBits bits after the leading one select the bucket of that power of two.
  const auto power = static_cast<unsigned>(std::bit_width(ns)) - 1;
  const unsigned shift = power - kExactBits;
  return (size_t{shift} << kExactBits) + (ns >> shift);
}

uint64_t Histogram::middle_of(size_t bucket) {
  if (bucket < (size_t{2} << kExactBits)) {
    return bucket;
  }
  const size_t shift = (bucket >> kExactBits) - 1;
  const uint64_t low = (bucket - (shift << kExactBits)) << shift;
  return low + (uint64_t{1} << shift) / 2;
}

void Histogram::add(uint64_t ns) {
  counts_[bucket_of(ns)].fetch_add(1, std::memory_order_relaxed);
  uint64_t seen = max();
  while (ns > seen && !max_.compare_exchange_weak(seen, ns, std::memory_order_relaxed)) {
  }
}

void Histogram::merge(const Histogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) {
    counts_[i].fetch_add(other.counts_[i].load(std::memory_order_relaxed),
                         std::memory_order_relaxed);
  }
  max_.store(std::max(max(), other.max()), std::memory_order_relaxed);
}

uint64_t Histogram::count() const {
  uint64_t total = 0;
  for (const std::atomic<uint64_t>& count : counts_) {
    total += count.load(std::memory_order_relaxed);
  }
  return total;
}

uint64_t Histogram::percentile(double percent) const {
  const auto wanted =
      static_cast<uint64_t>(std::ceil(static_cast<double>(count()) * percent / 100.0));
  uint64_t below = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    below += counts_[i].load(std::memory_order_relaxed);
    if (below >= std::max<uint64_t>(wanted, 1)) {
      return std::min(middle_of(i), max());
    }
  }
  return 0;
}

}  // namespace pager
