// SPDX-License-Identifier: Apache-2.0
// fork(2), the settings of the child, and execv(2).
#include "fc/start_vmm.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/process.h"
#include "fc/pid_namespace.h"

namespace fc {
namespace {

struct Pipe {
  base::Fd read;
  base::Fd write;
};

Pipe make_pipe(int flags) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | flags) != 0) {
    base::throw_errno("cannot create a pipe");
  }
  return {.read = base::Fd(ends[0]), .write = base::Fd(ends[1])};
}

base::Error exec_error(const std::string& program, int error) {
  return {error == ENOENT ? base::ExitCode::not_found : base::ExitCode::not_executable,
          "cannot run " + base::quoted(program) + ": " + std::generic_category().message(error)};
}

void reset_signals() {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) {
    ::sigaction(signal, &standard, nullptr);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Which call of the child failed.
enum class Step : int { settings, netns, jail, exec };
struct ChildFailure {
  Step step = Step::settings;
  int error = 0;
  std::array<char, 400> text{};  // for Step::jail
};

ChildFailure jail_failure(std::string_view text) {
  ChildFailure failure{.step = Step::jail};
  text.copy(failure.text.data(), failure.text.size() - 1);
  return failure;
}

// In the child. Returns only if something fails.
ChildFailure become(const VmmCommand& command, int console, pid_t parent) {
  // If the parent ended before the first call, its end sends no signal. The first process of a PID
  // namespace cannot end before its child.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) {
    return {.step = Step::settings, .error = ESRCH};
  }
  ::setsid();
  reset_signals();
  constexpr mode_t kOwnerOnly = 077;
  ::umask(kOwnerOnly);
  ::unsetenv("SNAPFORK_LOCK_FD");
  ::unsetenv("SNAPFORK_ERROR_FD");
  if (command.netns && ::setns(command.netns.get(), CLONE_NEWNET) != 0) {
    return {.step = Step::netns, .error = errno};
  }
  if (command.enter_jail) {
    try {
      command.enter_jail();
    } catch (const std::exception& error) {
      return jail_failure(error.what());
    }
  }
  if (::dup2(command.input.get(), STDIN_FILENO) < 0 || ::dup2(console, STDOUT_FILENO) < 0 ||
      ::dup2(console, STDERR_FILENO) < 0 ||
      ::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) != 0) {
    return {.step = Step::settings, .error = errno};
  }
  std::vector<char*> words;
  words.reserve(command.words.size() + 1);
  for (const std::string& word : command.words) {
    words.push_back(const_cast<char*>(word.c_str()));  // execv does not write to it
  }
  words.push_back(nullptr);
  ::execv(words[0], words.data());
  return {.step = Step::exec, .error = errno};
}

}  // namespace

std::string find_program(const std::string& name) {
  const auto can_run = [](const std::string& path) {
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0) {
      return errno;
    }
    return !S_ISREG(st.st_mode) || ::access(path.c_str(), X_OK) != 0 ? EACCES : 0;
  };
  int error = ENOENT;
  if (name.find('/') != std::string::npos) {
    error = can_run(name);
    if (error == 0) {
      return name;
    }
    throw exec_error(name, error);
  }
  const char* const variable = std::getenv("PATH");
  std::string_view path = variable != nullptr ? variable : "/usr/local/bin:/usr/bin:/bin";
  while (!name.empty()) {
    const size_t colon = path.find(':');
    const std::string directory(path.substr(0, colon));
    std::string candidate = (directory.empty() ? "." : directory) + "/" + name;
    const int reason = can_run(candidate);
    if (reason == 0) {
      return candidate;
    }
    if (reason == EACCES) {
      error = reason;
    }
    if (colon == std::string_view::npos) {
      break;
    }
    path.remove_prefix(colon + 1);
  }
  throw exec_error(name, error);
}

namespace {

base::Fd watch(pid_t pid) {
  std::optional<base::Fd> pidfd = base::open_pidfd(pid);
  if (!pidfd) {
    base::throw_error_number(ESRCH, "cannot watch process " + std::to_string(pid));
  }
  return *std::move(pidfd);
}

[[noreturn]] void throw_failure(const VmmCommand& command, const ChildFailure& failure) {
  const std::string reason = std::generic_category().message(failure.error);
  switch (failure.step) {
    case Step::exec:
      throw exec_error(command.words.front(), failure.error);
    case Step::jail:
      throw base::Error(base::ExitCode::wrapper, failure.text.data());
    case Step::netns:
      throw base::Error(base::ExitCode::wrapper,
                        "cannot start the VMM: cannot enter the network namespace: " + reason);
    case Step::settings:
      break;
  }
  throw base::Error(base::ExitCode::wrapper,
                    "cannot start the VMM: cannot set up its process: " + reason);
}

}  // namespace

StartedVmm start_vmm(VmmCommand command) {
  Pipe console = make_pipe(0);
  Pipe report = make_pipe(0);
  const pid_t parent = ::getpid();
  std::optional<PidNamespace> jail;
  if (command.enter_jail) {
    jail.emplace();
  }
  const pid_t child = jail ? jail->fork() : ::fork();
  if (child < 0) {
    base::throw_errno("cannot start a process");
  }
  if (child == 0) {
    const ChildFailure failure = become(command, console.write.get(), jail ? 1 : parent);
    static_cast<void>(::write(report.write.get(), &failure, sizeof failure));
    ::_exit(static_cast<int>(base::ExitCode::wrapper));
  }
  console.write.reset();
  report.write.reset();
  const pid_t pid = jail ? jail->await_member() : child;
  ChildFailure failure{};
  ssize_t length = 0;
  do {
    length = ::read(report.read.get(), &failure, sizeof failure);
  } while (length < 0 && errno == EINTR);
  if (length == sizeof failure || pid == 0) {
    ::waitpid(child, nullptr, 0);
    throw_failure(command, pid == 0 ? ChildFailure{.error = EAGAIN} : failure);
  }
  ::fcntl(console.read.get(), F_SETFL, O_NONBLOCK);
  StartedVmm vmm{.pid = pid,
                 .pidfd = {},
                 .child = child,
                 .child_pidfd = watch(child),
                 .console = std::move(console.read)};
  // A VMM in a jail may have ended: then the first process of its namespace has reaped it.
  vmm.pidfd = jail ? base::open_pidfd(pid).value_or(watch(child)) : watch(child);
  return vmm;
}

}  // namespace fc
