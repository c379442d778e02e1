// SPDX-License-Identifier: Apache-2.0
// flock(2) that a timer signal interrupts at a deadline.
#include "base/timed_flock.h"

#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "base/error.h"

namespace base {
namespace {

// During its lifetime, a blocking system call of this thread ends with EINTR soon after `deadline`.
// flock(2) has no timeout, and polling for the lock would lose the position among the waiters.
class WakeAfter {
 public:
  explicit WakeAfter(const Deadline& deadline) {
    if (deadline.is_never()) {
      return;
    }
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &action, &old_action_);  // no SA_RESTART: flock(2) must return EINTR
    sigset_t alarm;
    ::sigemptyset(&alarm);
    ::sigaddset(&alarm, SIGALRM);
    ::pthread_sigmask(SIG_UNBLOCK, &alarm, &old_mask_);  // the parent may have blocked the signal
    struct sigevent event {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGALRM;
    if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) {
      const int error = errno;
      restore_signals();
      throw_error_number(error, "cannot create a timer");
    }
    armed_ = true;
    // The timer repeats: a signal that arrives just before the call sleeps would otherwise be
    // lost.
    const auto left = std::max(1, deadline.poll_timeout());
    const struct itimerspec spec {
      .it_interval = {.tv_sec = 0, .tv_nsec = 10'000'000}, .it_value = {
        .tv_sec = left / 1000,
        .tv_nsec = left % 1000 * 1'000'000L
      }
    };
    ::timer_settime(timer_, 0, &spec, nullptr);
  }
  ~WakeAfter() {
    if (armed_) {
      ::timer_delete(timer_);
      restore_signals();
    }
  }
  WakeAfter(const WakeAfter&) = delete;
  WakeAfter(WakeAfter&&) = delete;
  WakeAfter& operator=(const WakeAfter&) = delete;
  WakeAfter& operator=(WakeAfter&&) = delete;

 private:
  void restore_signals() {
    ::pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
    ::sigaction(SIGALRM, &old_action_, nullptr);
  }

  bool armed_ = false;
  timer_t timer_{};
  sigset_t old_mask_{};
  struct sigaction old_action_ {};
};

}  // namespace

bool means_no_locks(int error) {
  return error == ENOLCK || error == EOPNOTSUPP || error == ENOSYS;
}

bool lock_file(int fd, int operation, const Deadline& deadline, const std::string& path) {
  if (::flock(fd, operation | LOCK_NB) == 0) {
    return true;
  }
  if (means_no_locks(errno)) {
    throw Unsupported("cannot lock " + base::quoted(path) + ": this filesystem has no locks");
  }
  if (errno != EWOULDBLOCK && errno != EINTR) {
    throw_errno("cannot lock " + base::quoted(path));
  }
  if (deadline.passed()) {
    return false;
  }
  const WakeAfter alarm(deadline);
  while (!deadline.passed()) {
    if (::flock(fd, operation) == 0) {
      return true;
    }
    if (errno != EINTR) {
      throw_errno("cannot lock " + base::quoted(path));
    }
  }
  return false;
}

}  // namespace base
