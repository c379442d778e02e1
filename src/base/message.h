// SPDX-License-Identifier: Apache-2.0
// Messages on standard error, and the record that --json adds on standard output.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/exit_code.h"

namespace base {

enum class Verbosity { quiet, normal, verbose };

// The form of this process's messages. Set once at the start of main, before it creates threads.
struct MessageStyle {
  std::string program = "snapfork";
  Verbosity verbosity = Verbosity::normal;
  bool json = false;
};
MessageStyle& message_style();

// Each function writes one line "program: message" with one write(2), so that lines of two
// processes never mix. Control characters, which file names may contain, are replaced.
void say_error(std::string_view message);    // always
void say_warning(std::string_view message);  // "program: warning: ...", not with -q
void say_info(std::string_view message);     // not with -q
void say_detail(std::string_view message);   // only with -v

// From now on a thread writes the lines. A caller waits at most 100 ms, and only once, for a
// standard error that blocks: a pipe that nobody reads, a terminal under Ctrl-S. Lines that do not
// fit into the queue are dropped and counted; the next line that is written reports the count. If
// standard error is a regular file, each line starts with the time. For servers: call it once,
// before other threads exist but with their signal mask. Throws std::system_error if the thread
// cannot be started.
void write_messages_in_background();
// At the end of a process: waits at most one second until the lines are written.
void flush_messages();

// Reports the failure that ends a program: say_error, and with --json also the record
// {"type":"error","v":1,"program","exit_code","code","message"} on standard output. `exit_status`
// is the exit status of the program if it differs from the number of the code.
//
// If SNAPFORK_ERROR_FD is the number of a descriptor that is open on a pipe, the record is also
// written there, with or without --json, as far as the pipe has room: a caller can report the
// failure of a program whose standard output it does not pass on.
void report_failure(ExitCode code, std::string_view message, std::optional<int> exit_status = {});

}  // namespace base
