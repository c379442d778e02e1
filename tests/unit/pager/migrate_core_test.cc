// SPDX-License-Identifier: Apache-2.0
// Tests the move of a thread to another core.
#include "pager/kernel/migrate_core.h"

#include <gtest/gtest.h>
#include <sched.h>

namespace pager {
namespace {

cpu_set_t allowed_cores() {
  cpu_set_t set;
  EXPECT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  return set;
}

// The scheduler also moves threads, so a thread may return at once.
TEST(MigrateCore, MovesToAnotherCoreAndKeepsTheMask) {
  const cpu_set_t before = allowed_cores();
  if (CPU_COUNT(&before) < 2) {
    GTEST_SKIP() << "one core";
  }
  constexpr int kTries = 50;
  int moves = 0;
  for (int i = 0; i < kTries; ++i) {
    const int here = ::sched_getcpu();
    EXPECT_TRUE(move_to_other_core());
    moves += ::sched_getcpu() != here ? 1 : 0;
  }
  EXPECT_GE(moves, kTries / 2) << "on a busy machine the scheduler may move it back";
  const cpu_set_t after = allowed_cores();
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(MigrateCore, FailsForAThreadThatIsBoundToOneCore) {
  const cpu_set_t before = allowed_cores();
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(::sched_getcpu(), &here);
  ASSERT_EQ(::sched_setaffinity(0, sizeof here, &here), 0);
  EXPECT_FALSE(move_to_other_core());
  const cpu_set_t after = allowed_cores();
  EXPECT_TRUE(CPU_EQUAL(&here, &after));
  EXPECT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
}

}  // namespace
}  // namespace pager
