// SPDX-License-Identifier: Apache-2.0
// Latency histograms: one thread writes them, any thread reads them.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace pager {

// Adds to a counter that only the calling thread writes. This needs no locked instruction.
template <typename Number>
void add_relaxed(std::atomic<Number>& counter, Number value) {
  counter.store(static_cast<Number>(counter.load(std::memory_order_relaxed) + value),
                std::memory_order_relaxed);
}
inline void raise_relaxed(std::atomic<uint64_t>& maximum, uint64_t value) {
  if (value > maximum.load(std::memory_order_relaxed)) {
    maximum.store(value, std::memory_order_relaxed);
  }
}

// Counts by powers of two: entry k counts the values from 2^(k-1) to 2^k - 1 ns.
using Log2Histogram = std::array<uint64_t, 41>;
inline void add_histogram(Log2Histogram& sum, const Log2Histogram& other) {
  for (size_t i = 0; i < sum.size(); ++i) {
    sum[i] += other[i];
  }
}

// Counts times in ns. A bucket is 1/16 of a power of two wide, so percentiles are accurate to 6 %.
class Latency {
 public:
  void record(uint64_t ns) {
    add_relaxed(buckets_[bucket_of(ns)], uint32_t{1});
    raise_relaxed(max_, ns);
  }
  uint64_t max() const { return max_.load(std::memory_order_relaxed); }
  Log2Histogram log2_histogram() const {
    Log2Histogram counts{};
    for (size_t i = 0; i < buckets_.size(); ++i) {
      // All values of a bucket have the same bit width.
      counts[static_cast<size_t>(std::bit_width(lowest_of(i)))] +=
          buckets_[i].load(std::memory_order_relaxed);
    }
    return counts;
  }
  // The value that a share (0 to 1) of the recorded values does not exceed. 0 if none was recorded.
  uint64_t percentile(double share) const {
    uint64_t total = 0;
    for (const auto& bucket : buckets_) {
      total += bucket.load(std::memory_order_relaxed);
    }
    const auto wanted = static_cast<uint64_t>(share * static_cast<double>(total));
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size() && total > 0; ++i) {
      seen += buckets_[i].load(std::memory_order_relaxed);
      if (seen > wanted || seen == total) {
        return std::min(middle_of(i), max());
      }
    }
    return 0;
  }

 private:
  static constexpr unsigned kSubBits = 4;
  static constexpr size_t kSub = size_t{1} << kSubBits;
  static constexpr unsigned kTopBit = 40;  // 18 minutes; longer times count as this

  static size_t bucket_of(uint64_t ns) {
    if (ns < kSub) {
      return static_cast<size_t>(ns);
    }
    const uint64_t value = std::min(ns, (uint64_t{1} << kTopBit) - 1);
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - 1 - kSubBits;
    return (shift + 1) * kSub + static_cast<size_t>(value >> shift) - kSub;
  }
  static uint64_t lowest_of(size_t bucket) {
    return bucket < kSub ? bucket : (bucket % kSub + kSub) << (bucket / kSub - 1);
  }
  static uint64_t middle_of(size_t bucket) {
    return bucket < kSub ? bucket
                         : lowest_of(bucket) + ((uint64_t{1} << (bucket / kSub - 1)) >> 1U);
  }

  std::array<std::atomic<uint32_t>, (kTopBit - kSubBits + 1) * kSub> buckets_{};
  std::atomic<uint64_t> max_{0};
};

}  // namespace pager
