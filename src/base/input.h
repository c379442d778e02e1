// SPDX-License-Identifier: Apache-2.0
// The input of a program for people and pipes: a file, a pipe, or "-" for standard input.
#pragma once

#include <cstddef>
#include <string>

namespace base {

// The whole of a regular file, of a FIFO (also a process substitution of the shell, which is one),
// or of standard input where `path` is "-"; waits for the writers of a pipe. At most `limit` bytes:
// a longer input is BadData, as is a directory or device. Throws std::system_error. Only for
// command lines: what serves others must use read_file, which never waits.
std::string read_input(const std::string& path, size_t limit);

// How messages call it, to be quoted: the path, or "standard input".
std::string input_name(const std::string& path);

// Throws UsageError when standard output is a terminal, on which `what` ("a state file") would be
// noise; `advice` is what to do instead ("name a file, or use a pipe").
void refuse_terminal_output(const std::string& what, const std::string& advice);

}  // namespace base
