// SPDX-License-Identifier: Apache-2.0
// Finding the process of a record.
#include "base/process_identity.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/error.h"
#include "tests/unit/child_process.h"

namespace {

TEST(ProcessIdentityTest, OurOwnIsFoundAndCertain) {
  const base::ProcessIdentity self = base::identify_process(::getpid());
  EXPECT_GT(self.start_time, 0U);
  EXPECT_FALSE(self.boot_id.empty());
  EXPECT_TRUE(self.pid_namespace.starts_with("pid:["));
  const base::FoundProcess found = base::find_process(self);
  EXPECT_TRUE(found.alive);
  EXPECT_TRUE(found.is_certain);
  EXPECT_EQ(found.pid, ::getpid());
}

TEST(ProcessIdentityTest, ARecordOfAnotherBootIsNotAlive) {
  base::ProcessIdentity self = base::identify_process(::getpid());
  self.boot_id = "00000000-0000-0000-0000-000000000000";
  EXPECT_FALSE(base::find_process(self).alive);
}

TEST(ProcessIdentityTest, WithoutAStartTimeItIsAliveAndNotCertain) {
  base::ProcessIdentity self = base::identify_process(::getpid());
  self.start_time = 0;
  EXPECT_TRUE(base::find_process(self).alive);
  EXPECT_FALSE(base::find_process(self).is_certain);
  self.start_time = 7;
  EXPECT_FALSE(base::find_process(self).alive);
}

TEST(ProcessIdentityTest, AProcessThatHasEndedIsNotAlive) {
  ChildProcess child([](const auto& ready) {
    ready();
    ::pause();
  });
  ASSERT_TRUE(child.wait_ready());
  const base::ProcessIdentity identity = base::identify_process(child.pid());
  EXPECT_TRUE(base::find_process(identity).alive);
  ::kill(child.pid(), SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(base::find_process(identity).alive);  // a zombie
  EXPECT_THROW(base::identify_process(child.pid()), base::Refused);
}

TEST(ProcessIdentityTest, ARecordOfAnEndedNamespaceIsNotAliveIfAllProcessesAreVisible) {
  base::ProcessIdentity other = base::identify_process(::getpid());
  const bool sees_all = other.pid_namespace == "pid:[4026531836]" && ::geteuid() == 0;
  other.pid_namespace = "pid:[1]";
  EXPECT_EQ(base::find_process(other).alive, !sees_all);
  EXPECT_FALSE(base::find_process(other).is_certain);
}

TEST(ProcessIdentityTest, APidThatIsNotAProcessIsNotAlive) {
  EXPECT_FALSE(base::find_process({.pid = 0, .start_time = 0}).alive);
  EXPECT_FALSE(base::find_process({.pid = -1, .start_time = 0}).alive);
}

}  // namespace
