// SPDX-License-Identifier: Apache-2.0
// The input of a program for people and pipes: a file, a pipe, or "-" for standard input.
#pragma once

#include <cstddef>
#include <string>

namespace base {

// Returns the contents of a regular file, of a FIFO (also of a process substitution, which is one),
// or of standard input if `path` is "-". Waits for the writers of a pipe. Throws BadData for more
// than `limit` bytes, a directory or a device; std::system_error. Only for command lines: a server
// must use read_file, which never waits.
std::string read_input(const std::string& path, size_t limit);

// Returns the name for messages, which is then quoted: the path, or "standard input".
std::string input_name(const std::string& path);

// Throws UsageError if standard output is a terminal, on which `what` ("a state file") is not
// readable. `advice` is the alternative ("name a file, or use a pipe").
void refuse_terminal_output(const std::string& what, const std::string& advice);

}  // namespace base
