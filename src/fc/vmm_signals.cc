// SPDX-License-Identifier: Apache-2.0
// A signalfd, and the signal at the end of the parent.
#include "fc/vmm_signals.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdlib>

#include "base/error.h"
#include "base/number.h"

namespace fc {

std::optional<int> error_descriptor() {
  const char* const text = std::getenv("SNAPFORK_ERROR_FD");
  const std::optional<int> fd = text != nullptr ? base::parse_number<int>(text) : std::nullopt;
  return fd && *fd > STDERR_FILENO ? fd : std::nullopt;
}

VmmSignals::VmmSignals() {
  static_cast<void>(::signal(SIGPIPE, SIG_IGN));
  static_cast<void>(::signal(SIGINT, SIG_DFL));
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGHUP, SIGINT, SIGTERM, kDetach, kCallerEnded}) {
    ::sigaddset(&signals, signal);
  }
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  fd_ = base::Fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_) {
    base::throw_errno("cannot create a signalfd");
  }
}

std::optional<int> VmmSignals::next() const {
  struct signalfd_siginfo info {};
  if (::read(fd_.get(), &info, sizeof info) != sizeof info) {
    return std::nullopt;
  }
  return static_cast<int>(info.ssi_signo);
}

bool watch_caller(pid_t caller) {
  if (::prctl(PR_SET_PDEATHSIG, kCallerEnded) != 0) {
    base::throw_errno("cannot watch the caller");
  }
  return ::getppid() == caller;
}

void leave_caller() {
  ::prctl(PR_SET_PDEATHSIG, 0);
  // A caller may wait until all writers of this pipe have closed it.
  if (const std::optional<int> fd = error_descriptor()) {
    ::close(*fd);
  }
  ::setsid();  // fails if this process leads a session already
  const base::Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (null) {
      ::dup2(null.get(), fd);
    }
  }
}

}  // namespace fc
