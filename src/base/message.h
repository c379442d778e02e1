// SPDX-License-Identifier: Apache-2.0
// What a program says on standard error, and the record of it that --json adds on standard output.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/exit_code.h"

namespace base {

enum class Verbosity { quiet, normal, verbose };

// How this process talks. Set once at the start of main, before there are threads.
struct MessageStyle {
  std::string program = "snapfork";
  Verbosity verbosity = Verbosity::normal;
  bool json = false;
};
MessageStyle& message_style();

// Each composes one whole line "program: message", replaces control characters that came with file
// names, and writes it with one write(2), so that lines of two processes never mix.
void say_error(std::string_view message);    // always
void say_warning(std::string_view message);  // "program: warning: ...", not with -q
void say_info(std::string_view message);     // not with -q
void say_detail(std::string_view message);   // only with -v

// From now on, lines are written by a thread, and nobody waits longer than 100 ms, once, for a
// standard error that does not take them: a pipe that nobody reads, a terminal under Ctrl-S. Lines
// for which there is no room are dropped and counted; the next line that is written says how many.
// Each line starts with the time where standard error is a regular file. For servers; call it once,
// before there are threads but with their signal mask. Throws std::system_error when there is no
// thread.
void write_messages_in_background();
// At the end: waits until the lines are written, no longer than a second.
void flush_messages();

// The end of a program that failed: say_error, and with --json also the record
// {"type":"error","v":1,"program","exit_code","code","message"} on standard output.
// `exit_status` where the program ends with another number than the code's own.
void report_failure(ExitCode code, std::string_view message, std::optional<int> exit_status = {});

}  // namespace base
