// SPDX-License-Identifier: Apache-2.0
// Tests when kept faults are tried again.
#include "pager/faults/kept_faults.h"

#include <gtest/gtest.h>

#include <vector>

#include "pager/kernel/clock.h"

namespace pager {
namespace {

class KeptFaultsTest : public testing::Test {
 protected:
  // Returns the addresses of the faults that are due, which are then no longer kept.
  std::vector<uint64_t> due_at(uint64_t now_ns) {
    std::vector<uint64_t> addresses;
    kept_.retry(now_ns, [&](const Fault& fault) { addresses.push_back(fault.address); });
    return addresses;
  }
  // Keeps the fault once, and returns the delay of its next attempt in ns.
  uint64_t delay_of(Fault fault, Answer why) {
    KeptFaults kept(counters_);
    const uint64_t before = monotonic_ns();
    kept.keep(fault, why);
    return kept.due_ns() - before;
  }
  static void expect_about(uint64_t delay_ns, uint64_t expected_ms) {
    EXPECT_GE(delay_ns, expected_ms * kMillisecond);
    EXPECT_LT(delay_ns, expected_ms * kMillisecond + 60 * kSecond) << "the machine may be busy";
  }

  Counters counters_;
  KeptFaults kept_{counters_};
};

TEST_F(KeptFaultsTest, AFaultOfARemovalIsDueAfterTheNextRead) {
  EXPECT_TRUE(kept_.empty());
  kept_.keep({.address = 0x1000}, Answer::removal);
  EXPECT_FALSE(kept_.empty());
  EXPECT_TRUE(kept_.wait_for_events());
  EXPECT_EQ(kept_.due_ns(), 0U);
  EXPECT_EQ(due_at(1), (std::vector<uint64_t>{0x1000}));
  EXPECT_TRUE(kept_.empty());
  EXPECT_EQ(counters_.get(Count::retries), 1U);
}

TEST_F(KeptFaultsTest, AFaultWithoutMemoryIsNotDueBeforeItsDelay) {
  kept_.keep({.address = 0x1000}, Answer::no_memory);
  EXPECT_FALSE(kept_.wait_for_events());
  const uint64_t due = kept_.due_ns();
  EXPECT_TRUE(due_at(due - 1).empty());
  EXPECT_EQ(counters_.get(Count::waiting), 1U);
  EXPECT_EQ(counters_.get(Count::retries), 0U);
  EXPECT_EQ(due_at(due).size(), 1U);
  EXPECT_EQ(counters_.get(Count::waiting), 0U);
}

TEST_F(KeptFaultsTest, DelaysDoubleUpToOneSecond) {
  expect_about(delay_of({.waits = 0}, Answer::no_memory), 10);
  expect_about(delay_of({.waits = 1}, Answer::no_memory), 20);
  expect_about(delay_of({.waits = 40}, Answer::no_memory), 1000);
  expect_about(delay_of({.reads = 1}, Answer::read_again), 1);
  expect_about(delay_of({.reads = 2}, Answer::read_again), 4);
  expect_about(delay_of({.reads = 3}, Answer::read_again), 16);
  expect_about(delay_of({.reads = 999}, Answer::read_again), 1000);
}

TEST_F(KeptFaultsTest, CountsTheRoundsOfAFault) {
  kept_.keep({.address = 0x1000}, Answer::no_memory);
  Fault again;
  kept_.retry(kept_.due_ns(), [&](const Fault& fault) { again = fault; });
  EXPECT_TRUE(again.kept);
  EXPECT_EQ(again.waits, 1);
}

TEST_F(KeptFaultsTest, KeepsOneEntryForEachAddress) {
  kept_.keep({.address = 0x1000, .since_ns = 1}, Answer::removal);
  kept_.keep({.address = 0x1000, .since_ns = 2}, Answer::removal);
  kept_.keep({.address = 0x2000}, Answer::removal);
  EXPECT_EQ(counters_.get(Count::waiting), 2U);
  EXPECT_EQ(due_at(1), (std::vector<uint64_t>{0x1000, 0x2000}));
}

TEST_F(KeptFaultsTest, AFaultThatIsKeptAgainIsNotServedTwice) {
  kept_.keep({.address = 0x1000}, Answer::removal);
  kept_.keep({.address = 0x2000}, Answer::removal);
  int served = 0;
  kept_.retry(1, [&](const Fault& fault) {
    ++served;
    if (fault.address == 0x1000) {
      kept_.keep(fault, Answer::removal);
    }
  });
  EXPECT_EQ(served, 2);
  EXPECT_EQ(counters_.get(Count::waiting), 1U);
  EXPECT_EQ(due_at(1), (std::vector<uint64_t>{0x1000}));
}

TEST_F(KeptFaultsTest, TheEarliestFaultDecides) {
  kept_.keep({.address = 0x1000, .waits = 7}, Answer::no_memory);
  const uint64_t late = kept_.due_ns();
  kept_.keep({.address = 0x2000, .reads = 1}, Answer::read_again);
  EXPECT_LT(kept_.due_ns(), late);
  kept_.keep({.address = 0x3000}, Answer::removal);
  EXPECT_EQ(kept_.due_ns(), 0U);
  EXPECT_TRUE(kept_.wait_for_events());
  kept_.clear();
  EXPECT_TRUE(kept_.empty());
  EXPECT_FALSE(kept_.wait_for_events());
  EXPECT_EQ(counters_.get(Count::waiting), 0U);
}

}  // namespace
}  // namespace pager
