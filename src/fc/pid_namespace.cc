// SPDX-License-Identifier: Apache-2.0
// clone(2) with CLONE_NEWPID, and the first process of the namespace.
#include "fc/pid_namespace.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/error.h"

namespace fc {
namespace {

constexpr int kFailed = 125;
constexpr int kSignalled = 128;  // added to the number of a signal, as shells do

// Whether the other end of the socket is closed.
bool is_alone(int socket) {
  struct pollfd end {
    .fd = socket, .events = POLLIN, .revents = 0
  };
  return ::poll(&end, 1, 0) != 0;
}

}  // namespace

PidNamespace::PidNamespace() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    base::throw_errno("cannot create a pair of sockets");
  }
  ours_ = base::Fd(ends[0]);
  theirs_ = base::Fd(ends[1]);
  const int yes = 1;
  if (::setsockopt(ours_.get(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0) {
    base::throw_errno("cannot ask for credentials");
  }
}

pid_t PidNamespace::fork() {
  const long first = ::syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, nullptr, nullptr, nullptr, 0);
  if (first < 0) {
    base::throw_errno("cannot create a PID namespace");
  }
  if (first != 0) {
    theirs_.reset();
    return static_cast<pid_t>(first);
  }
  ours_.reset();
  // If the caller ended before the first call, its end sends no signal, and its socket is closed.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || is_alone(theirs_.get())) {
    ::_exit(kFailed);
  }
  ::setsid();
  const pid_t member = ::fork();
  if (member != 0) {
    be_first(member);
  }
  // The kernel attaches the pid, as the receiver sees it.
  if (::send(theirs_.get(), "", 1, MSG_NOSIGNAL) != 1) {
    ::_exit(kFailed);
  }
  theirs_.reset();
  return 0;
}

void PidNamespace::be_first(pid_t member) {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ::dup2(null, fd);
  }
  ::syscall(SYS_close_range, 3U, ~0U, 0);
  int status = 0;
  for (;;) {
    const pid_t ended = ::waitpid(-1, &status, 0);
    if (ended == member) {
      ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : kSignalled + WTERMSIG(status));
    }
    if (ended < 0 && errno != EINTR) {
      ::_exit(kFailed);
    }
  }
}

pid_t PidNamespace::await_member() {
  std::array<char, 1> byte{};
  struct iovec part {
    .iov_base = byte.data(), .iov_len = byte.size()
  };
  alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(struct ucred))> control{};
  struct msghdr message {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t length = 0;
  do {
    length = ::recvmsg(ours_.get(), &message, MSG_CMSG_CLOEXEC);
  } while (length < 0 && errno == EINTR);
  const struct cmsghdr* const header = CMSG_FIRSTHDR(&message);
  struct ucred member {};
  if (length == 1 && header != nullptr && header->cmsg_level == SOL_SOCKET &&
      header->cmsg_type == SCM_CREDENTIALS) {
    std::memcpy(&member, CMSG_DATA(header), sizeof member);
  }
  return member.pid;
}

}  // namespace fc
