// SPDX-License-Identifier: Apache-2.0
// Tests the child processes of a probe.
#include "pager/probe/child.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>

#include "base/error.h"
#include "base/process.h"
#include "pager/probe/record.h"

namespace pager {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(ProbeChild, ReportsDoneAndKeepsRunning) {
  Child child([](const auto& say_done) {
    say_done();
    ::pause();
  });
  EXPECT_TRUE(child.wait_done(base::Deadline::after(seconds(60))));
  EXPECT_EQ(::kill(child.pid(), 0), 0);
  const int status = child.end();
  EXPECT_TRUE(WIFSIGNALED(status));
}

TEST(ProbeChild, IsKilledIfItHangsAtTheDeadline) {
  pid_t pid = 0;
  {
    const Child child([](const auto&) { ::pause(); });
    pid = child.pid();
    EXPECT_FALSE(child.wait_done(base::Deadline::after(milliseconds(1))));
  }
  EXPECT_EQ(base::process_start_time(pid), std::nullopt);
}

TEST(ProbeChild, SharedMemoryOutlivesTheChild) {
  const Shared<VmmRecord> record;
  Child child([&](const auto&) {
    record->touched = 42;
    record->waiting[3].set(0);
    record->failure.set(base::BadData("no good"));
    ::kill(::getpid(), SIGKILL);
  });
  EXPECT_TRUE(child.wait_done(base::Deadline::after(seconds(60))));
  EXPECT_EQ(WTERMSIG(child.reap()), SIGKILL);
  EXPECT_EQ(record->touched, 42U);
  EXPECT_EQ(record->waiting[3].get(), std::optional<PageNumber>(0));
  EXPECT_EQ(record->waiting[2].get(), std::nullopt);
  const std::optional<base::Error> failure = record->failure.get();
  ASSERT_TRUE(failure.has_value());
  EXPECT_STREQ(failure->what(), "no good");
  EXPECT_EQ(failure->code(), base::ExitCode::bad_data);
}

TEST(ProbeChild, TruncatesALongFailureMessage) {
  const Shared<SharedFailure> failure;
  EXPECT_FALSE(failure->get().has_value());
  failure->set(std::runtime_error(std::string(5000, 'x')));
  EXPECT_EQ(std::string(failure->get()->what()), std::string(511, 'x'));
  EXPECT_EQ(failure->get()->code(), base::ExitCode::system);
}

}  // namespace
}  // namespace pager
