// SPDX-License-Identifier: Apache-2.0
// Tests program_output with shells as children.
#include "base/program_output.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <system_error>

#include "base/error.h"

namespace {

using std::chrono::seconds;

base::ProgramOutput run_script(const std::string& script, size_t limit = 1000,
                               seconds time_limit = seconds(60)) {
  return base::program_output({"sh", "-c", script}, limit, base::Deadline::after(time_limit));
}

TEST(ProgramOutput, HasTheOutputAndTheExitStatus) {
  const base::ProgramOutput output = run_script("echo one; echo two >&2; echo three; exit 7");
  EXPECT_EQ(output.text, "one\nthree\n");
  EXPECT_EQ(output.exit_status, 7);
  EXPECT_EQ(run_script("kill -KILL $$").exit_status, 128 + 9);
  EXPECT_EQ(run_script("cat").text, "") << "its standard input is empty";
}

TEST(ProgramOutput, DoesNotInterpretItsWords) {
  EXPECT_EQ(base::program_output({"echo", "$HOME", "; exit 1"}, 1000, base::Deadline::never()).text,
            "$HOME ; exit 1\n");
}

TEST(ProgramOutput, OfAProgramThatCannotBeExecutedIsASystemError) {
  for (const char* name : {"/nonexistent", "no-such-program-anywhere", "/etc/passwd", "/"}) {
    EXPECT_THROW(base::program_output({name}, 1000, base::Deadline::never()), std::system_error)
        << name;
  }
}

TEST(ProgramOutput, IsLimitedInLengthAndTime) {
  EXPECT_THROW(run_script("while :; do echo x; done", 1000), base::BadData);
  EXPECT_THROW(run_script("echo x; exec tail -f /dev/null", 1000, seconds(1)), base::BadData);
  EXPECT_THROW(run_script("exec sleep infinity >&-", 1000, seconds(1)), base::BadData);
  EXPECT_THROW(run_script("tail -f /dev/null & echo x", 1000, seconds(1)), base::BadData)
      << "its child has the pipe, and ends when nobody reads it";
}

}  // namespace
