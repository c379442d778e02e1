// SPDX-License-Identifier: Apache-2.0
// A histogram of numbers with a bounded relative error, and counters that need no lock.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace base {

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

// Counts by powers of two: entry k counts the values from 2^(k-1) to 2^k - 1.
using Log2Histogram = std::array<uint64_t, 65>;
inline void add_histogram(Log2Histogram& sum, const Log2Histogram& other) {
  for (size_t i = 0; i < sum.size(); ++i) {
    sum[i] += other[i];
  }
}

// Each value below 2^(kFineBits + 1) has its own bucket. Above that a bucket is 1/2^kFineBits of
// its power of two wide, and percentiles are the middle of a bucket. Values from 2^kTopBit on count
// as the largest below it. The maximum is exact.
template <unsigned kFineBits, unsigned kTopBit, typename Count>
class LogHistogram {
 public:
  // Only one thread may call it, and no other may call add() or merge().
  void record(uint64_t value) {
    add_relaxed(buckets_[bucket_of(value)], Count{1});
    raise_relaxed(max_, value);
  }
  // Threads, also of several processes that share the memory, may call it at the same time.
  void add(uint64_t value) {
    buckets_[bucket_of(value)].fetch_add(1, std::memory_order_relaxed);
    uint64_t seen = max();
    while (value > seen && !max_.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
    }
  }
  void merge(const LogHistogram& other) {
    for (size_t i = 0; i < buckets_.size(); ++i) {
      buckets_[i].fetch_add(other.at(i), std::memory_order_relaxed);
    }
    max_.store(std::max(max(), other.max()), std::memory_order_relaxed);
  }

  uint64_t count() const {
    uint64_t total = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      total += at(i);
    }
    return total;
  }
  uint64_t max() const { return max_.load(std::memory_order_relaxed); }
  // The value that `percent` of all values do not exceed. 0 if there are none.
  uint64_t percentile(double percent) const {
    const auto wanted =
        static_cast<uint64_t>(std::ceil(static_cast<double>(count()) * percent / 100.0));
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += at(i);
      if (seen >= std::max<uint64_t>(wanted, 1)) {
        return std::min(middle_of(i), max());
      }
    }
    return 0;
  }
  Log2Histogram log2_histogram() const {
    Log2Histogram counts{};
    for (size_t i = 0; i < buckets_.size(); ++i) {
      // All values of a bucket have the same bit width.
      counts[static_cast<size_t>(std::bit_width(lowest_of(i)))] += at(i);
    }
    return counts;
  }

 private:
  static_assert(kFineBits < kTopBit && kTopBit <= 64);
  static constexpr uint64_t kLargest = ~uint64_t{0} >> (64 - kTopBit);

  static constexpr size_t bucket_of(uint64_t value) {
    value = std::min(value, kLargest);
    const auto width = static_cast<unsigned>(std::bit_width(value));
    const unsigned shift = width > kFineBits + 1 ? width - kFineBits - 1 : 0;
    return (size_t{shift} << kFineBits) + static_cast<size_t>(value >> shift);
  }
  static unsigned shift_of(size_t bucket) {
    return std::max(static_cast<unsigned>(bucket >> kFineBits), 1U) - 1;
  }
  static uint64_t lowest_of(size_t bucket) {
    const unsigned shift = shift_of(bucket);
    return (bucket - (size_t{shift} << kFineBits)) << shift;
  }
  static uint64_t middle_of(size_t bucket) {
    return lowest_of(bucket) + ((uint64_t{1} << shift_of(bucket)) >> 1U);
  }

  Count at(size_t bucket) const { return buckets_[bucket].load(std::memory_order_relaxed); }

  std::array<std::atomic<Count>, bucket_of(kLargest) + 1> buckets_{};
  std::atomic<uint64_t> max_{0};
};

}  // namespace base
