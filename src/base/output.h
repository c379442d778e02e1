// SPDX-License-Identifier: Apache-2.0
// Results on standard output: buffered, flushed a record at a time, and checked when closed. On a
// terminal, control characters (base/utf8.h) other than newline and tab become '?'; files and pipes
// get every byte as it is.
#pragma once

#include <string_view>

namespace base {

// Appends whole characters to standard output's buffer. Throws std::system_error when a full buffer
// cannot be written. A reader that has gone ends the program by SIGPIPE, quietly, as filters do.
void write_out(std::string_view text);
// `text`, a newline, and a flush: what long runners use for each record.
void write_line_out(std::string_view text);
// Writes what is buffered. Throws std::system_error "cannot write standard output".
void flush_out();
// The last step of main: flushes and closes, so that a full disk behind "> file" is an error (exit
// status 5) and not silence.
void close_out();

}  // namespace base
