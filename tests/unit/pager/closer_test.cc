// SPDX-License-Identifier: Apache-2.0
// Tests that blocked work of one owner delays neither other owners nor the end.
#include "pager/kernel/closer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <vector>

#include "tests/unit/pager/test_guest.h"
#include "tests/unit/scratch_dir.h"

namespace pager {
namespace {

// Blocks, as close(2) may, until it is released. The work shares ownership of its data, because a
// thread of the Closer may still run it after the test has ended.
class Blocker {
 public:
  std::function<void()> work() {
    return [started = started_, gate = gate_] {
      ++*started;
      gate.wait();
    };
  }
  int started() const { return *started_; }
  void release() { promise_.set_value(); }

 private:
  std::promise<void> promise_;
  std::shared_future<void> gate_{promise_.get_future()};
  std::shared_ptr<std::atomic<int>> started_ = std::make_shared<std::atomic<int>>(0);
};

TEST(CloserTest, BlockedWorkDoesNotDelayOtherOwners) {
  Blocker blocker;
  std::atomic<bool> other{false};
  Closer closer;
  for (size_t i = 0; i < Closer::kThreadsPerOwner + 1; ++i) {
    closer.post(1, blocker.work());
  }
  closer.post(2, [&] { other = true; });
  EXPECT_TRUE(wait_for_true([&] { return other.load(); }));
  EXPECT_TRUE(wait_for_true(
      [&] { return blocker.started() == static_cast<int>(Closer::kThreadsPerOwner); }));
  EXPECT_EQ(closer.pending(1), Closer::kThreadsPerOwner + 1) << "the last one waits";
  EXPECT_EQ(closer.pending(2), 0U);
  blocker.release();
  EXPECT_TRUE(wait_for_true([&] { return closer.pending(1) == 0; }));
}

// The idle thread is not awake yet when the second task arrives, and never takes it.
TEST(CloserTest, OneIdleThreadDoesNotCountForTwoTasks) {
  for (int round = 0; round < 20; ++round) {
    Blocker blocker;
    std::atomic<bool> other{false};
    Closer closer;
    closer.post(3, [] {});
    ASSERT_TRUE(wait_for_true([&] { return closer.pending(3) == 0; }));
    closer.post(1, blocker.work());
    closer.post(2, [&] { other = true; });
    const bool ran = wait_for_true([&] { return other.load(); });
    blocker.release();
    ASSERT_TRUE(ran) << "in round " << round;
    ASSERT_TRUE(wait_for_true([&] { return closer.pending(1) == 0; }));
  }
}

TEST(CloserTest, DestructorDoesNotWaitForBlockedWork) {
  Blocker blocker;
  const auto begin = std::chrono::steady_clock::now();
  {
    Closer closer;
    closer.post(1, blocker.work());
    EXPECT_TRUE(wait_for_true([&] { return blocker.started() == 1; }));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  blocker.release();
}

}  // namespace
}  // namespace pager
