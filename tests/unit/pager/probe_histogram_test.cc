// SPDX-License-Identifier: Apache-2.0
// Tests the histogram of a probe.
#include "pager/probe/histogram.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <memory>

namespace pager {
namespace {

TEST(ProbeHistogram, AnEmptyHistogramHasNoPercentiles) {
  const auto histogram = std::make_unique<Histogram>();
  EXPECT_EQ(histogram->count(), 0U);
  EXPECT_EQ(histogram->percentile(50), 0U);
  EXPECT_EQ(histogram->max(), 0U);
}

TEST(ProbeHistogram, SmallValuesAreExact) {
  const auto histogram = std::make_unique<Histogram>();
  for (uint64_t value = 1; value <= 200; ++value) {
    histogram->add(value);
  }
  EXPECT_EQ(histogram->percentile(50), 100U);
  EXPECT_EQ(histogram->percentile(99), 198U);
  EXPECT_EQ(histogram->percentile(100), 200U);
  EXPECT_EQ(histogram->percentile(0), 1U);
}

TEST(ProbeHistogram, KeepsEachValueWithinFourPerMille) {
  for (uint64_t value = 1; value < std::numeric_limits<uint64_t>::max() / 3;
       value = value * 3 + 1) {
    const auto histogram = std::make_unique<Histogram>();
    histogram->add(value);
    histogram->add(std::numeric_limits<uint64_t>::max());
    const auto kept = static_cast<double>(histogram->percentile(50));
    EXPECT_NEAR(kept, static_cast<double>(value), static_cast<double>(value) * 0.004) << value;
    EXPECT_EQ(histogram->count(), 2U);
  }
}

TEST(ProbeHistogram, MaximumIsExactAndBoundsThePercentiles) {
  const auto histogram = std::make_unique<Histogram>();
  histogram->add(1'000'001);
  EXPECT_EQ(histogram->max(), 1'000'001U);
  EXPECT_LE(histogram->percentile(99), 1'000'001U);
}

TEST(ProbeHistogram, MergingEqualsAddingToOne) {
  const auto one = std::make_unique<Histogram>();
  const auto two = std::make_unique<Histogram>();
  one->add(10);
  two->add(20);
  two->add(30);
  one->merge(*two);
  EXPECT_EQ(one->count(), 3U);
  EXPECT_EQ(one->percentile(50), 20U);
  EXPECT_EQ(one->max(), 30U);
}

}  // namespace
}  // namespace pager
