// SPDX-License-Identifier: Apache-2.0
// Processes: pid and start time identify one process.
#include "base/process.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "base/deadline.h"
#include "base/unix_socket.h"
#include "tests/unit/child_process.h"
#include "tests/unit/scratch_dir.h"

namespace {

TEST(ProcessTest, OurOwnStartTimeStaysTheSame) {
  const auto first = base::process_start_time(::getpid());
  ASSERT_TRUE(first);
  EXPECT_GT(*first, 0U);
  EXPECT_EQ(base::process_start_time(::getpid()), first);
  EXPECT_FALSE(base::process_start_time(-1));
  EXPECT_FALSE(base::process_start_time(0));
}

TEST(ProcessTest, ADeadOrZombieProcessHasNoStartTime) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  ASSERT_TRUE(base::process_start_time(child));
  const auto pidfd = base::open_pidfd(child);
  ASSERT_TRUE(pidfd);
  ::kill(child, SIGKILL);
  EXPECT_TRUE(base::wait_for(pidfd->get(), POLLIN, base::Deadline::never()));
  EXPECT_FALSE(base::process_start_time(child));  // a zombie
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(base::process_start_time(child));
  EXPECT_FALSE(base::open_pidfd(child));
}

TEST(ProcessTest, AProcessWhoseFirstThreadEndedLivesAsLongAsAnotherRuns) {
  const ChildProcess child([](const auto& /*ready*/) {
    std::thread([] { ::pause(); }).detach();
    ::syscall(SYS_exit, 0);  // ends this thread only
  });
  const auto is_zombie = [&] {
    std::ifstream stat("/proc/" + std::to_string(child.pid()) + "/stat");
    std::string line;
    std::getline(stat, line);
    return line.find(") Z ") != std::string::npos;
  };
  while (!is_zombie()) {
    ::sched_yield();
  }
  EXPECT_TRUE(base::process_start_time(child.pid()));
}

TEST(ProcessTest, TheNameIsTheFirstWordOfTheCommandLine) {
  EXPECT_NE(base::process_name(::getpid()).find("unit-tests"), std::string::npos);
  EXPECT_EQ(base::process_name(0), "?");
}

TEST(ProcessTest, AScriptIsNamedInsteadOfItsShell) {
  const ScratchDir dir;
  const std::string script = dir / "its-name";
  std::ofstream(script) << ": >" << dir / "runs"
                        << "; read -r < " << dir / "fifo";
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  const ChildProcess child([&](const auto& /*ready*/) {
    ::execlp("bash", "/usr/bin/bash", script.c_str(), "word", nullptr);
  });
  while (::access((dir / "runs").c_str(), F_OK) != 0) {
    ::sched_yield();
  }
  EXPECT_EQ(base::process_name(child.pid()), "its-name");
}

}  // namespace
