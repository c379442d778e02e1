// SPDX-License-Identifier: Apache-2.0
// Tests the sizes and pauses of reads that nobody waits for.
#include "pager/faults/disk_pace.h"

#include <gtest/gtest.h>

namespace pager {
namespace {

using namespace std::chrono_literals;

class DiskPaceTest : public testing::Test {
 protected:
  static constexpr uint64_t kMost = uint64_t{1} << 20U;

  // One read of this duration; `faults` occur during it. Returns the pause after it.
  std::chrono::nanoseconds read(std::chrono::nanoseconds took, int faults = 0) {
    bytes_ = pace_.next_bytes(now_);
    counters_.add(Count::faults, faults);
    now_ += took;
    const std::chrono::nanoseconds pause = pace_.pause_after(bytes_, took, now_);
    now_ += pause;
    return pause;
  }

  Counters counters_;
  DiskPace pace_{counters_, kMost};
  DiskPace::Clock::time_point now_{1h};
  uint64_t bytes_ = 0;  // of the last read
};

TEST_F(DiskPaceTest, ReadsGrowWhileTheGuestDoesNotFault) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(read(1ms), 0ns);
  }
  EXPECT_EQ(bytes_, kMost);
}

TEST_F(DiskPaceTest, ReadsShrinkUntilTheyTakeNoLongerThanTheLimit) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(read(20ms), 0ns) << "no fault, no pause";
  }
  EXPECT_EQ(bytes_, DiskPace::kBusyBytes);
}

TEST_F(DiskPaceTest, LeavesThreeQuartersOfTheDiskToAGuestThatFaults) {
  EXPECT_EQ(read(1ms, 1), 3ms);
  EXPECT_EQ(read(1ms, 1), 3ms);
  EXPECT_EQ(bytes_, DiskPace::kBusyBytes);
  EXPECT_EQ(read(10s, 1), 200ms) << "a disk that hangs";
}

TEST_F(DiskPaceTest, SpreadsReadsOfADiskThatIsUsedUp) {
  uint64_t bytes = 0;
  const auto start = now_;
  for (int i = 0; i < 40; ++i) {  // 40 reads take no time, and then the budget is used up
    read(100us, i == 0 ? 1 : 0);
    bytes += bytes_;
  }
  EXPECT_GE(read(80ms), 0ns);
  bytes += bytes_;
  const double rate =
      static_cast<double>(bytes) / std::chrono::duration<double>(now_ - start).count();
  const auto pause = read(100us);
  EXPECT_EQ(bytes_, DiskPace::kBusyBytes);
  const std::chrono::duration<double> cycle = pause + 100us;
  EXPECT_LT(static_cast<double>(bytes_) / cycle.count(), rate / 2);
  now_ += 2s;
  EXPECT_EQ(read(100us), 0ns) << "the guest has not faulted for long";
}

}  // namespace
}  // namespace pager
