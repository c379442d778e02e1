// SPDX-License-Identifier: Apache-2.0
// Signals, resource limits, OOM score and bounded end of the server process.
#include "pager/serve/server_process.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <utility>

#include "base/descriptor_limit.h"
#include "base/error.h"
#include "base/message.h"
#include "base/notify_socket.h"
#include "pager/kernel/features.h"

namespace pager {
namespace {

constexpr std::array kEnding{SIGTERM, SIGINT, SIGQUIT};

sigset_t set_of_ending() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : kEnding) {
    ::sigaddset(&signals, signal);
  }
  return signals;
}

bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

// Signals that keep their default action: those that report a bug, those that cannot be caught, and
// those that neither end nor stop a process.
bool is_left_alone(int signal) {
  constexpr std::array kLeft{SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGTRAP, SIGSYS,  SIGABRT,
                             SIGKILL, SIGSTOP, SIGCONT, SIGCHLD, SIGURG,  SIGWINCH};
  return std::ranges::find(kLeft, signal) != kLeft.end();
}

void raise(int resource) {
  struct rlimit limit {};
  const struct rlimit none { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };
  if (::setrlimit(static_cast<__rlimit_resource_t>(resource), &none) != 0 &&
      ::getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(static_cast<__rlimit_resource_t>(resource), &limit);
  }
}

}  // namespace

base::Fd take_signals(int also) {
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    const bool ours =
        std::ranges::find(kEnding, signal) != kEnding.end() || signal == SIGHUP || signal == also;
    if (!ours && !is_left_alone(signal)) {
      static_cast<void>(::signal(signal, SIG_IGN));  // fails for signals that glibc uses itself
    }
  }
  sigset_t signals = set_of_ending();
  if (!is_ignored(SIGHUP)) {
    ::sigaddset(&signals, SIGHUP);
  }
  if (also != 0) {
    ::sigaddset(&signals, also);
  }
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  base::Fd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) {
    base::throw_errno("cannot create a signalfd");
  }
  return fd;
}

void release_signals(int signals) {
  struct signalfd_siginfo info {};
  while (::read(signals, &info, sizeof info) > 0) {
  }
  const sigset_t ending = set_of_ending();
  ::pthread_sigmask(SIG_UNBLOCK, &ending, nullptr);
}

void limit_end(std::function<void()> last) {
  std::thread([last = std::move(last)] {
    constexpr std::chrono::seconds kLimit{5};
    std::this_thread::sleep_for(kLimit);
    last();
    base::say_warning("a thread does not end; the server exits without it");
    base::flush_messages();
    ::_exit(0);
  }).detach();
}

void notify_ready() {
  notify("READY=1");
}

void notify(std::string_view text) {
  static_cast<void>(base::NotifySocket().send(text));
}

void raise_limits() {
  // A session needs at least three descriptors. The default limit of 1024 protects programs that
  // use select(2).
  base::raise_descriptor_limit();
  for (const int resource : {RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA}) {
    raise(resource);
  }
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_max != RLIM_INFINITY) {
    base::say_warning("the kernel will kill this server after " + std::to_string(limit.rlim_max) +
                      " s of CPU time (RLIMIT_CPU), which hangs its guests");
  }
}

void protect_from_oom_killer() {
  if (features().has(Feature::oom_score) && !lower_oom_score(kProtectedOomScore)) {
    base::say_warning("cannot lower oom_score_adj: the OOM killer may take this server first");
  }
}

}  // namespace pager
