// SPDX-License-Identifier: Apache-2.0
// Messages: one line, no control characters; failures as records; exit statuses of exceptions.
#include "base/message.h"

#include <gtest/gtest.h>

#include <string>
#include <system_error>

#include "base/error.h"
#include "base/program.h"

namespace {

TEST(MessageTest, ControlCharactersOfFileNamesDoNotReachTheTerminal) {
  testing::internal::CaptureStderr();
  base::message_style() = {.program = "tool"};
  base::say_error("cannot open 'a\nb\x1b[31m'");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "tool: cannot open 'a?b?[31m'\n");
  EXPECT_EQ(base::quoted("a\tb"), "'a?b'");
  testing::internal::CaptureStderr();
  const std::string override_order{'\xe2', '\x80', '\xae'};  // U+202E
  base::say_error("a\xc2\x9b" + ("31m" + override_order) + "b\xff");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "tool: a?31m?b?\n");
}

TEST(MessageTest, QuietKeepsErrorsOnly) {
  testing::internal::CaptureStderr();
  base::message_style() = {.program = "tool", .verbosity = base::Verbosity::quiet};
  base::say_warning("w");
  base::say_info("i");
  base::say_detail("d");
  base::say_error("e");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "tool: e\n");
}

TEST(MessageTest, TheExceptionDecidesTheExitStatus) {
  EXPECT_EQ(base::exit_code_of(base::Refused("x")), base::ExitCode::no);
  EXPECT_EQ(base::exit_code_of(base::UsageError("x")), base::ExitCode::usage);
  EXPECT_EQ(base::exit_code_of(base::Unsupported("x")), base::ExitCode::unsupported);
  EXPECT_EQ(base::exit_code_of(base::BadData("x")), base::ExitCode::bad_data);
  EXPECT_EQ(base::exit_code_of(std::system_error(ENOSPC, std::generic_category())),
            base::ExitCode::system);
  EXPECT_EQ(base::exit_code_of(std::bad_alloc()), base::ExitCode::system);
}

TEST(MessageTest, AFailureIsAlsoARecord) {
  base::message_style() = {.program = "tool", .json = true};
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  base::report_failure(base::ExitCode::no, "cannot delete 'base': 3 forks live");
  EXPECT_EQ(testing::internal::GetCapturedStdout(),
            R"({"type":"error","v":1,"program":"tool","exit_code":1,"code":"no",)"
            R"("message":"cannot delete 'base': 3 forks live"})"
            "\n");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "tool: cannot delete 'base': 3 forks live\n");
  base::message_style() = {};
}

}  // namespace
