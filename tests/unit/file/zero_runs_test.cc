// SPDX-License-Identifier: Apache-2.0
// Tests of file/zero_runs.h: which zeros become holes.
#include "file/zero_runs.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace file {
namespace {

constexpr size_t kHole = kSmallestHole;

std::vector<std::byte> zeros(size_t length) {
  return std::vector<std::byte>(length);
}

std::vector<std::byte> data(size_t length) {
  return std::vector<std::byte>(length, std::byte{1});
}

std::string text(const std::vector<ByteRange>& ranges) {
  std::string found;
  for (const ByteRange& range : ranges) {
    found += std::to_string(range.begin) + "-" + std::to_string(range.end) + " ";
  }
  return found;
}

TEST(ZeroRuns, AShortRunIsNotAHole) {
  ZeroRuns runs;
  runs.add(0, data(kHoleBlock));
  runs.add(kHoleBlock, zeros(kHole - kHoleBlock));
  runs.add(kHole, data(kHoleBlock));
  EXPECT_EQ(text(runs.holes()), "");
}

TEST(ZeroRuns, AdjacentPiecesAreOneRunInAnyOrder) {
  ZeroRuns runs;
  std::vector<std::byte> begins_with_zeros = data(2 * kHole);
  std::fill_n(begins_with_zeros.begin(), kHoleBlock, std::byte{0});
  std::vector<std::byte> ends_with_zeros = data(2 * kHole);
  std::fill_n(ends_with_zeros.end() - kHoleBlock, kHoleBlock, std::byte{0});
  runs.add(3 * kHole, begins_with_zeros);
  runs.add(2 * kHole, zeros(kHole));
  runs.add(0, ends_with_zeros);
  EXPECT_EQ(text(runs.holes()), "126976-200704 ");
}

TEST(ZeroRuns, OnlyTheLongestBecomeHoles) {
  ZeroRuns runs;
  for (int i = 1; i <= 5; ++i) {
    runs.add(i * off_t{1} << 20, zeros(kHole * static_cast<size_t>(i == 2 ? 9 : i)));
  }
  EXPECT_EQ(text(runs.holes(2)), "2097152-2686976 5242880-5570560 ");
  EXPECT_EQ(text(runs.holes(0)), "");
}

// The quick search finds the same runs as an inspection of every block.
TEST(ZeroRuns, FindsEveryLongRun) {
  std::mt19937 random(1);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same in each run
  for (int round = 0; round < 300; ++round) {
    constexpr size_t kBlocks = 256;
    constexpr size_t kLong = kHole / kHoleBlock;
    const unsigned zeros_in_100 = 50 + static_cast<unsigned>(round % 50);
    const size_t length = kBlocks * kHoleBlock - random() % (2 * kHoleBlock);
    std::vector<std::byte> bytes = zeros(length);
    std::vector<ByteRange> expected;
    size_t run = 0;
    for (size_t at = 0; at < length; at += kHoleBlock) {
      const size_t end = std::min(at + kHoleBlock, length);
      const bool is_zero = random() % 100 < zeros_in_100;
      if (!is_zero) {
        bytes[at + random() % (end - at)] = std::byte{1};
      }
      run = is_zero ? run + 1 : 0;
      if (run == kLong) {
        expected.push_back({.begin = static_cast<off_t>(at + kHoleBlock - kHole), .end = 0});
      }
      if (run >= kLong) {
        expected.back().end = static_cast<off_t>(end);
      }
    }
    // A last run of kLong blocks with a partial last block is just too short.
    std::erase_if(expected, [](const ByteRange& at) { return at.end - at.begin < kSmallestHole; });
    ZeroRuns runs;
    runs.add(0, bytes);
    ASSERT_EQ(text(runs.holes()), text(expected)) << "round " << round;
  }
}

TEST(Longest, KeepsTheOrderOfOffsets) {
  const std::vector<ByteRange> ranges{{.begin = 0, .end = 1},
                                      {.begin = 10, .end = 15},
                                      {.begin = 20, .end = 22},
                                      {.begin = 30, .end = 33}};
  EXPECT_EQ(text(longest(ranges, 3)), "10-15 20-22 30-33 ");
  EXPECT_EQ(text(longest(ranges, 9)), "0-1 10-15 20-22 30-33 ");
}

}  // namespace
}  // namespace file
