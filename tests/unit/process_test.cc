// Processes: one number and start time name one process.
#include "base/process.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/deadline.h"
#include "base/unix_socket.h"

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

TEST(ProcessTest, NamesAreForMessages) {
  EXPECT_NE(base::process_name(::getpid()).find("unit-tests"), std::string::npos);
  EXPECT_EQ(base::process_name(0), "?");
}

}  // namespace
