// SPDX-License-Identifier: Apache-2.0
// Runs a program and returns what it prints.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/deadline.h"

namespace base {

struct ProgramOutput {
  int exit_status;   // 128 + its number if a signal ended the program
  std::string text;  // its standard output
};

// Runs the program words[0] with the arguments words[1..], without a shell. A name without a slash
// is searched in the PATH. Its standard input and standard error are /dev/null, and it inherits no
// other descriptor. It ends with this process.
//
// Throws std::system_error if it cannot be executed (ENOENT, EACCES and so on), and base::BadData
// if it has not closed its output and ended by the deadline, or printed more than `limit` bytes; it
// is killed then.
ProgramOutput program_output(const std::vector<std::string>& words, size_t limit,
                             const Deadline& deadline);

}  // namespace base
