// SPDX-License-Identifier: Apache-2.0
// Tests latency histograms.
#include "pager/faults/latency.h"

#include <gtest/gtest.h>

namespace pager {
namespace {

TEST(Latency, IsZeroWhileEmpty) {
  const Latency latency;
  EXPECT_EQ(latency.percentile(0.5), 0U);
  EXPECT_EQ(latency.max(), 0U);
}

TEST(Latency, PercentilesAreWithinSixPercent) {
  Latency latency;
  for (uint64_t ns = 1; ns <= 100'000; ++ns) {
    latency.record(ns);
  }
  EXPECT_NEAR(static_cast<double>(latency.percentile(0.5)), 50'000, 3'000);
  EXPECT_NEAR(static_cast<double>(latency.percentile(0.99)), 99'000, 6'000);
  EXPECT_EQ(latency.max(), 100'000U);
  EXPECT_LE(latency.percentile(1), latency.max());
}

TEST(Latency, AcceptsAnyNumber) {
  Latency latency;
  for (const uint64_t ns : {uint64_t{0}, uint64_t{15}, uint64_t{16}, uint64_t{31}, uint64_t{32},
                            (uint64_t{1} << 40U) - 1, uint64_t{1} << 40U, ~uint64_t{0}}) {
    latency.record(ns);
  }
  EXPECT_EQ(latency.percentile(0), 0U);
  EXPECT_EQ(latency.max(), ~uint64_t{0});
}

TEST(Latency, HistogramCountsEachValueBelowItsPowerOfTwo) {
  Latency latency;
  for (const uint64_t ns : {uint64_t{0}, uint64_t{1}, uint64_t{15}, uint64_t{16}, uint64_t{1023},
                            uint64_t{1024}, ~uint64_t{0}}) {
    latency.record(ns);
  }
  Log2Histogram expected{};
  expected[0] = 1;
  expected[1] = 1;
  expected[4] = 1;
  expected[5] = 1;
  expected[10] = 1;
  expected[11] = 1;
  expected[40] = 1;  // all longer times
  EXPECT_EQ(latency.log2_histogram(), expected);
}

}  // namespace
}  // namespace pager
