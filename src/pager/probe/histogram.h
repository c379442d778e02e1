// SPDX-License-Identifier: Apache-2.0
// A histogram of times: percentiles in bounded memory.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace pager {

// Counts times in ns. Each value up to 255 has its own bucket. Above that a bucket is 1/128 of its
// power of two wide, so the error of a percentile is below 0.4 %. The maximum is exact. Threads,
// also of several processes that share its memory, may add at the same time.
class Histogram {
 public:
  void add(uint64_t ns);
  void merge(const Histogram& other);

  uint64_t count() const;
  uint64_t max() const { return max_.load(std::memory_order_relaxed); }
  // The time that `percent` of all times do not exceed (the middle of its bucket). 0 if there are
  // none.
  uint64_t percentile(double percent) const;

 private:
  static constexpr unsigned kExactBits = 7;
  static constexpr size_t kBuckets = (size_t{64} - kExactBits + 1) << kExactBits;
  static size_t bucket_of(uint64_t ns);
  static uint64_t middle_of(size_t bucket);

  std::array<std::atomic<uint64_t>, kBuckets> counts_{};
  std::atomic<uint64_t> max_{0};
};

}  // namespace pager
