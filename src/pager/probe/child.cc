// SPDX-License-Identifier: Apache-2.0
// Forks a child that dies with its parent and reports through a pipe.
#include "pager/probe/child.h"

#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/output.h"
#include "base/unix_socket.h"

namespace pager {

Child::Child(const std::function<void(const std::function<void()>& say_done)>& body) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    base::throw_errno("cannot create a pipe");
  }
  done_ = base::Fd(ends[0]);
  base::Fd write_end(ends[1]);
  base::flush_out();
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) {
    base::throw_errno("cannot start a process");
  }
  if (pid_ == 0) {
    // The parent may have ended before PR_SET_PDEATHSIG was set.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == parent) {
      body([&] {
        if (::write(write_end.get(), "\n", 1) < 0) {
          ::_exit(0);  // the parent has ended, and the signal is on its way
        }
      });
    }
    ::_exit(0);
  }
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), done_(std::move(other.done_)) {}

Child::~Child() {
  end();
}

bool Child::wait_done(const base::Deadline& deadline) const {
  return base::wait_for(done_.get(), POLLIN, deadline);
}

int Child::end() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
  }
  return reap();
}

int Child::reap() {
  int status = 0;
  while (pid_ > 0 && ::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

void run_on_cpu(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) {
    base::throw_errno("cannot run on CPU " + std::to_string(cpu));
  }
}

}  // namespace pager
