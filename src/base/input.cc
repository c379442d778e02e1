// SPDX-License-Identifier: Apache-2.0
// Reads files, pipes and standard input.
#include "base/input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/message.h"

namespace base {

std::string read_input(const std::string& path, size_t limit) {
  if (path == "-") {
    if (::isatty(STDIN_FILENO) == 1) {
      say_info("reading from the terminal");
    }
    return read_all(STDIN_FILENO, limit, input_name(path));
  }
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0 && S_ISFIFO(st.st_mode)) {
    // If a regular file has replaced the FIFO since, reading it is correct as well.
    return read_all(open_file(path, O_RDONLY | O_NOCTTY).get(), limit, path);
  }
  return read_file(path, limit);
}

std::string input_name(const std::string& path) {
  return path == "-" ? "standard input" : path;
}

void refuse_terminal_output(const std::string& what, const std::string& advice) {
  if (::isatty(STDOUT_FILENO) == 1) {
    throw UsageError("cannot write " + what + " to a terminal; " + advice);
  }
}

}  // namespace base
