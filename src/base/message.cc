#include "base/message.h"

#include <unistd.h>

#include "base/json_line.h"
#include "base/output.h"

namespace base {
namespace {

void write_line(std::string_view prefix, std::string_view message) {
  std::string line = message_style().program;
  line += prefix;
  for (char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    line += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  line += '\n';
  // Nothing can be done where standard error itself cannot be written.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

MessageStyle& message_style() {
  static MessageStyle style;
  return style;
}

void say_error(std::string_view message) {
  write_line(": ", message);
}

void say_warning(std::string_view message) {
  if (message_style().verbosity != Verbosity::quiet) {
    write_line(": warning: ", message);
  }
}

void say_info(std::string_view message) {
  if (message_style().verbosity != Verbosity::quiet) {
    write_line(": ", message);
  }
}

void say_detail(std::string_view message) {
  if (message_style().verbosity == Verbosity::verbose) {
    write_line(": ", message);
  }
}

void report_failure(ExitCode code, std::string_view message, std::optional<int> exit_status) {
  say_error(message);
  if (message_style().json) {
    write_line_out(JsonLine("error")
                       .text("program", message_style().program)
                       .number("exit_code", exit_status.value_or(static_cast<int>(code)))
                       .text("code", exit_code_name(code))
                       .text("message", message)
                       .str());
  }
}

}  // namespace base
