// SPDX-License-Identifier: Apache-2.0
// The exit statuses of all programs of the suite.
#pragma once

namespace base {

// 1 follows grep, diff and cmp; 2 follows GNU; 125 to 127 follow env(1) and timeout(1). A script
// can react to each of them differently. The man pages repeat the table.
enum class ExitCode {
  ok = 0,           // done
  no = 1,           // ran correctly and the answer is no: locked, forks live, mismatch, wrong state
  usage = 2,        // the command line is wrong
  unsupported = 3,  // this kernel or filesystem cannot do it
  bad_data = 4,     // a file or a peer's message is corrupt, or does not match this image
  system = 5,       // a system call failed
  try_again = 75,   // EX_TEMPFAIL of sysexits.h: what the caller opened was replaced; open it again
  wrapper = 125,    // a wrapper failed before it could run its command
  not_executable = 126,
  not_found = 127,
};

// Returns the word for `code` in a JSON record: "no", "usage", "unsupported", "bad_data", "system",
// ...
const char* exit_code_name(ExitCode code);

}  // namespace base
