// SPDX-License-Identifier: Apache-2.0
// Buffers standard output, and filters control characters on a terminal.
#include "base/output.h"

#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "base/utf8.h"

namespace base {
namespace {

constexpr size_t kFlushAt = 64 << 10;

std::string& buffer() {
  static std::string text;
  return text;
}

bool goes_to_terminal() {
  static const bool is_terminal = ::isatty(STDOUT_FILENO) == 1;
  return is_terminal;
}

// As base::printable, but keeps the newlines and tabs of our own layout.
std::string printable_lines(std::string_view text) {
  std::string result;
  for (;;) {
    const size_t end = text.find_first_of("\n\t");
    result += printable(text.substr(0, end));
    if (end == std::string_view::npos) {
      return result;
    }
    result += text[end];
    text.remove_prefix(end + 1);
  }
}

}  // namespace

void write_out(std::string_view text) {
  buffer() += text;
  if (buffer().size() >= kFlushAt) {
    flush_out();
  }
}

void write_line_out(std::string_view text) {
  buffer() += text;
  buffer() += '\n';
  flush_out();
}

void flush_out() {
  std::string text;
  text.swap(buffer());  // dropped if the write fails: close_out must not fail again for it
  if (goes_to_terminal()) {
    text = printable_lines(text);
  }
  write_full(STDOUT_FILENO, text, "standard output");
}

void close_out() {
  flush_out();
  if (::close(STDOUT_FILENO) != 0 && errno != EINTR) {
    throw_errno("cannot close 'standard output'");
  }
}

}  // namespace base
