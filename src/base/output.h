// SPDX-License-Identifier: Apache-2.0
// Standard output: buffered, flushed per record, and checked when it is closed.
#pragma once

#include <string_view>

namespace base {

// Appends whole characters to the buffer of standard output. On a terminal, control characters
// (base/utf8.h) other than newline and tab become '?'; files and pipes get every byte unchanged.
// Throws std::system_error if a full buffer cannot be written. If the reader of a pipe has exited,
// SIGPIPE ends the program silently, as for filters.
void write_out(std::string_view text);
// Writes `text` and a newline, and flushes: for each record of a program that runs long.
void write_line_out(std::string_view text);
// Writes the buffered data. Throws std::system_error "cannot write standard output".
void flush_out();
// The last step of main: flushes and closes, so that a full disk behind "> file" is an error (exit
// status 5).
void close_out();

}  // namespace base
