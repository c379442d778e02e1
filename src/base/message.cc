// SPDX-License-Identifier: Apache-2.0
// Writes messages and error records; a server writes them in the background.
#include "base/message.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <string>

#include "base/background_writer.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/number.h"
#include "base/output.h"
#include "base/time_text.h"
#include "base/utf8.h"

namespace base {
namespace {

// The standard error of a server.
class BackgroundLog {
 public:
  BackgroundLog()
      : writer_("log", kMostBytes, BackgroundWriter::OnError::skip,
                [fd = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)] { return Fd(fd); }) {
    struct stat st {};
    stamped_ = ::fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode);
  }

  void write(const std::string& line) {
    const std::string stamp = stamped_ ? rfc3339(wall_clock(), 3) + " " : "";
    const std::lock_guard lock(mutex_);
    dropped_ += writer_.take_skipped();
    if (dropped_ > 0 && writer_.write(stamp + message_style().program + ": warning: " +
                                      std::to_string(dropped_) + " lines were dropped\n")) {
      dropped_ = 0;
    }
    if (dropped_ > 0 || !writer_.write(stamp + line)) {
      ++dropped_;
    }
    // A thread waits until its line is written, so that the line precedes any other effect of
    // the event, as with a direct write. Once standard error has blocked a line this long, no
    // thread waits until the queue is empty again.
    constexpr std::chrono::milliseconds kWait{100};
    stuck_ = !writer_.drain(stuck_ ? std::chrono::milliseconds(0) : kWait);
  }

  void flush() {
    constexpr std::chrono::seconds kLimit{1};
    static_cast<void>(writer_.drain(kLimit));
  }

 private:
  static constexpr size_t kMostBytes = size_t{256} << 10U;

  BackgroundWriter writer_;
  bool stamped_ = false;
  std::mutex mutex_;
  bool stuck_ = false;
  uint64_t dropped_ = 0;
};

// Never freed: other threads may write messages until the process ends.
BackgroundLog* background_log = nullptr;

void write_line(std::string_view prefix, std::string_view message) {
  std::string line = message_style().program;
  line += prefix;
  line += printable(message);
  line += '\n';
  if (background_log != nullptr) {
    background_log->write(line);
    return;
  }
  // If standard error cannot be written, there is no other place to report it.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

// Writes to the pipe SNAPFORK_ERROR_FD without waiting. poll(2) reports a pipe as writable if it
// has room for PIPE_BUF bytes.
void write_to_caller(std::string_view line) {
  const char* value = std::getenv("SNAPFORK_ERROR_FD");
  const std::optional<int> fd = parse_number<int>(value != nullptr ? value : "");
  struct stat st {};
  if (!fd || *fd <= STDERR_FILENO || ::fstat(*fd, &st) != 0 || !S_ISFIFO(st.st_mode)) {
    return;
  }
  while (!line.empty()) {
    struct pollfd pipe {
      .fd = *fd, .events = POLLOUT, .revents = 0
    };
    const std::string_view part = line.substr(0, PIPE_BUF);
    if (::poll(&pipe, 1, 0) != 1 || pipe.revents != POLLOUT ||
        ::write(*fd, part.data(), part.size()) != static_cast<ssize_t>(part.size())) {
      return;
    }
    line.remove_prefix(part.size());
  }
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

void write_messages_in_background() {
  background_log = new BackgroundLog();  // NOLINT(cppcoreguidelines-owning-memory): see above
}

void flush_messages() {
  if (background_log != nullptr) {
    background_log->flush();
  }
}

void report_failure(ExitCode code, std::string_view message, std::optional<int> exit_status) {
  say_error(message);
  const std::string record = JsonLine("error")
                                 .text("program", message_style().program)
                                 .number("exit_code", exit_status.value_or(static_cast<int>(code)))
                                 .text("code", exit_code_name(code))
                                 .text("message", message)
                                 .str();
  write_to_caller(record + "\n");
  if (message_style().json) {
    write_line_out(record);
  }
}

}  // namespace base
