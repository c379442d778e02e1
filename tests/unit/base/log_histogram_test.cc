// SPDX-License-Identifier: Apache-2.0
// Tests the histograms of the page server and of the probe.
#include "base/log_histogram.h"

#include <gtest/gtest.h>

#include <limits>
#include <memory>

namespace {

using Coarse = base::LogHistogram<4, 40, uint32_t>;
using Fine = base::LogHistogram<7, 64, uint64_t>;

TEST(LogHistogram, IsZeroWhileEmpty) {
  const Coarse histogram;
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.percentile(50), 0U);
  EXPECT_EQ(histogram.max(), 0U);
}

TEST(LogHistogram, SmallValuesAreExact) {
  const auto histogram = std::make_unique<Fine>();
  for (uint64_t value = 1; value <= 200; ++value) {
    histogram->add(value);
  }
  EXPECT_EQ(histogram->percentile(50), 100U);
  EXPECT_EQ(histogram->percentile(99), 198U);
  EXPECT_EQ(histogram->percentile(100), 200U);
  EXPECT_EQ(histogram->percentile(0), 1U);
}

// The error of one value: the half of a bucket.
template <typename Histogram>
void expect_kept(double error, uint64_t below) {
  for (uint64_t value = 1; value < below / 3; value = value * 3 + 1) {
    const auto histogram = std::make_unique<Histogram>();
    histogram->record(value);
    histogram->record(std::numeric_limits<uint64_t>::max());
    const auto kept = static_cast<double>(histogram->percentile(50));
    EXPECT_NEAR(kept, static_cast<double>(value), static_cast<double>(value) * error) << value;
    EXPECT_EQ(histogram->count(), 2U);
  }
}

TEST(LogHistogram, KeepsEachValueWithinHalfABucket) {
  expect_kept<Fine>(0.004, std::numeric_limits<uint64_t>::max());
  expect_kept<Coarse>(0.032, uint64_t{1} << 40U);
}

TEST(LogHistogram, PercentilesOfManyValues) {
  Coarse histogram;
  for (uint64_t ns = 1; ns <= 100'000; ++ns) {
    histogram.record(ns);
  }
  EXPECT_NEAR(static_cast<double>(histogram.percentile(50)), 50'000, 1'700);
  EXPECT_NEAR(static_cast<double>(histogram.percentile(99)), 99'000, 3'300);
  EXPECT_EQ(histogram.max(), 100'000U);
}

TEST(LogHistogram, TheMaximumIsExactAndBoundsThePercentiles) {
  const auto histogram = std::make_unique<Fine>();
  histogram->add(1'000'001);
  EXPECT_EQ(histogram->max(), 1'000'001U);
  EXPECT_LE(histogram->percentile(99), 1'000'001U);
}

TEST(LogHistogram, AcceptsAnyNumber) {
  Coarse histogram;
  for (const uint64_t ns : {uint64_t{0}, uint64_t{15}, uint64_t{16}, uint64_t{31}, uint64_t{32},
                            (uint64_t{1} << 40U) - 1, uint64_t{1} << 40U, ~uint64_t{0}}) {
    histogram.record(ns);
  }
  EXPECT_EQ(histogram.percentile(0), 0U);
  EXPECT_EQ(histogram.count(), 8U);
  EXPECT_EQ(histogram.max(), ~uint64_t{0});
}

TEST(LogHistogram, Log2HistogramCountsEachValueBelowItsPowerOfTwo) {
  Coarse histogram;
  for (const uint64_t ns : {uint64_t{0}, uint64_t{1}, uint64_t{15}, uint64_t{16}, uint64_t{1023},
                            uint64_t{1024}, ~uint64_t{0}}) {
    histogram.record(ns);
  }
  base::Log2Histogram expected{};
  expected[0] = 1;
  expected[1] = 1;
  expected[4] = 1;
  expected[5] = 1;
  expected[10] = 1;
  expected[11] = 1;
  expected[40] = 1;  // all longer times
  EXPECT_EQ(histogram.log2_histogram(), expected);
}

TEST(LogHistogram, MergingEqualsAddingToOne) {
  const auto one = std::make_unique<Fine>();
  const auto two = std::make_unique<Fine>();
  one->add(10);
  two->add(20);
  two->add(30);
  one->merge(*two);
  EXPECT_EQ(one->count(), 3U);
  EXPECT_EQ(one->percentile(50), 20U);
  EXPECT_EQ(one->max(), 30U);
}

}  // namespace
