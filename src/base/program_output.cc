// SPDX-License-Identifier: Apache-2.0
// Forks a child with a pipe as its standard output, and waits for both until the deadline.
#include "base/program_output.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>

#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/unix_socket.h"

namespace base {
namespace {

struct Pipe {
  Fd read_end;
  Fd write_end;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw_errno("cannot create a pipe");
  }
  return {.read_end = Fd(ends[0]), .write_end = Fd(ends[1])};
}

// Never returns. Writes the errno of what fails to `errors`, which execvp closes.
[[noreturn]] void become(char* const* words, pid_t parent, int out, int errors) {
  sigset_t none;
  ::sigemptyset(&none);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0 && ::dup2(null, STDIN_FILENO) >= 0 && ::dup2(out, STDOUT_FILENO) >= 0 &&
      ::dup2(null, STDERR_FILENO) >= 0 && ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0 &&
      ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
      ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0 && ::getppid() == parent) {
    ::execvp(words[0], words);
  }
  const int error = errno;
  static_cast<void>(::write(errors, &error, sizeof error));
  ::_exit(1);
}

// A child that is killed and reaped unless it was reaped before.
class ChildProcess {
 public:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess(ChildProcess&&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ChildProcess& operator=(ChildProcess&&) = delete;
  ~ChildProcess() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      static_cast<void>(reap());
    }
  }

  // Waits until the deadline for its end. Returns the exit status; nothing after the deadline.
  std::optional<int> wait_end(const Deadline& deadline) {
    const std::optional<Fd> pidfd = open_pidfd(pid_);
    return !pidfd || wait_for(pidfd->get(), POLLIN, deadline) ? std::optional(reap())
                                                              : std::nullopt;
  }

 private:
  int reap() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  pid_t pid_;
};

}  // namespace

ProgramOutput program_output(const std::vector<std::string>& words, size_t limit,
                             const Deadline& deadline) {
  const std::string what = "cannot run " + base::quoted(words.at(0));
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));  // execvp does not write to it
  }
  arguments.push_back(nullptr);
  Pipe out = make_pipe();
  Pipe errors = make_pipe();
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    throw_errno(what);
  }
  if (pid == 0) {
    become(arguments.data(), parent, out.write_end.get(), errors.write_end.get());
  }
  ChildProcess child(pid);
  out.write_end.reset();
  errors.write_end.reset();
  if (int error = 0; ::read(errors.read_end.get(), &error, sizeof error) == sizeof error) {
    throw_error_number(error, what);
  }
  ProgramOutput output{.exit_status = 0, .text = ""};
  std::array<char, 4096> buffer{};
  while (wait_for(out.read_end.get(), POLLIN, deadline)) {
    const ssize_t got = ::read(out.read_end.get(), buffer.data(), buffer.size());
    if (got < 0 && errno != EINTR) {
      throw_errno(what);
    }
    if (got == 0) {
      if (const std::optional<int> status = child.wait_end(deadline)) {
        output.exit_status = *status;
        return output;
      }
      break;
    }
    output.text.append(buffer.data(), got > 0 ? static_cast<size_t>(got) : 0);
    if (output.text.size() > limit) {
      throw BadData(what + ": it printed more than " + std::to_string(limit) + " bytes");
    }
  }
  throw BadData(what + ": it did not end in time, and was killed");
}

}  // namespace base
