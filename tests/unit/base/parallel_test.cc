// SPDX-License-Identifier: Apache-2.0
// Tests of base/parallel.h.
#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <set>
#include <stdexcept>
#include <thread>

namespace base {
namespace {

TEST(ForEachIndex, DoesEachOnce) {
  for (const int jobs : {1, 2, 7}) {
    std::vector<std::atomic<int>> done(100);
    for_each_index(jobs, done.size(), [&] { return [&](size_t i) { ++done[i]; }; });
    for (const std::atomic<int>& times : done) {
      EXPECT_EQ(times, 1);
    }
  }
  for_each_index(3, 0, [] { return [](size_t) { FAIL(); }; });
}

TEST(ForEachIndex, RunsAtTheSameTime) {
  std::latch both(2);  // one thread alone would wait forever
  for_each_index(2, 2, [&] { return [&](size_t) { both.arrive_and_wait(); }; });
}

TEST(ForEachIndex, RethrowsAndStops) {
  std::atomic<int> begun = 0;
  const auto fail = [&](size_t) {
    ++begun;
    throw std::runtime_error("no");
  };
  EXPECT_THROW(for_each_index(2, 1000, [&] { return fail; }), std::runtime_error);
  EXPECT_LE(begun, 2);
}

TEST(TaskPool, DoesAllBeforeWaitReturns) {
  for (const int jobs : {1, 3}) {
    TaskPool pool(jobs);
    std::atomic<int> done = 0;
    for (int i = 0; i < 500; ++i) {
      pool.submit([&] { ++done; });
    }
    pool.wait();
    EXPECT_EQ(done, 500);
  }
}

TEST(TaskPool, WithOneJobTheCallerDoesIt) {
  TaskPool pool(1);
  std::thread::id who;
  pool.submit([&] { who = std::this_thread::get_id(); });
  EXPECT_EQ(who, std::this_thread::get_id());
}

TEST(TaskPool, AFailureIsRethrownAndNoMoreTasksStart) {
  TaskPool pool(2);
  std::atomic<int> after = 0;
  EXPECT_THROW(
      {
        pool.submit([] { throw std::runtime_error("no"); });
        pool.wait();
      },
      std::runtime_error);
  EXPECT_THROW(pool.submit([&] { ++after; }), std::runtime_error);
  EXPECT_EQ(after, 0);
}

}  // namespace
}  // namespace base
