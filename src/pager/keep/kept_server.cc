// SPDX-License-Identifier: Apache-2.0
// Starts page servers by descriptor and feeds their sockets.
#include "pager/keep/kept_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "base/error.h"
#include "base/process.h"

namespace pager {
namespace {

// Runs in the child. Calls only what a signal handler may call.
[[noreturn]] void run(const ServerProgram& program, int socket, char* const* arguments,
                      bool successor) {
  static_cast<void>(::setpgid(0, 0));
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  static_cast<void>(::fcntl(socket, F_SETFD, 0));
  for (const base::Fd& fd : program.first_only) {
    if (successor) {
      ::close(fd.get());
    } else {
      static_cast<void>(::fcntl(fd.get(), F_SETFD, 0));
    }
  }
  ::fexecve(program.binary.get(), arguments, environ);
  constexpr int kNotExecutable = 126;
  ::_exit(kNotExecutable);
}

}  // namespace

KeptServer KeptServer::start(const ServerProgram& program, bool successor) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    base::throw_errno("cannot create a socket for a server");
  }
  KeptServer server;
  server.socket_ = base::Fd(pair[0]);
  const base::Fd theirs(pair[1]);
  // First: a last option of the user that lacks its value must not take one of these.
  std::vector<std::string> words{"uffd-serve", "--keeper-fd=" + std::to_string(theirs.get())};
  if (successor) {
    words.emplace_back("--successor");
  }
  words.insert(words.end(), program.arguments.begin(), program.arguments.end());
  std::vector<char*> arguments;
  std::ranges::transform(words, std::back_inserter(arguments),
                         [](std::string& word) { return word.data(); });
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) {
    base::throw_errno("cannot start a server");
  }
  if (child == 0) {
    run(program, theirs.get(), arguments.data(), successor);
  }
  server.pid_ = child;
  // The child is not waited for before this, so its pid cannot be reused.
  server.pidfd_ = base::Fd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (!server.pidfd_) {
    const int error = errno;
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    base::throw_error_number(error, "cannot watch a server");
  }
  return server;
}

KeptServer KeptServer::adopt(base::Fd socket, base::Fd pidfd, pid_t pid) {
  KeptServer server;
  server.is_child_ = false;
  server.pid_ = pid;
  server.socket_ = std::move(socket);
  server.pidfd_ = std::move(pidfd);
  return server;
}

void KeptServer::kill(int signal) const {
  static_cast<void>(::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0));
}

std::optional<KeptServer::End> KeptServer::end() const {
  if (!is_child_) {
    struct pollfd ended {
      .fd = pidfd_.get(), .events = POLLIN, .revents = 0
    };
    if (::poll(&ended, 1, 0) <= 0) {
      return std::nullopt;
    }
    return End{.exited = has_said_goodbye, .status = has_said_goodbye ? 0 : SIGKILL};
  }
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG) != 0 ||
      info.si_pid == 0) {
    return std::nullopt;
  }
  return End{.exited = info.si_code == CLD_EXITED, .status = info.si_status};
}

bool KeptServer::flush(const HeldThings& held) {
  while (!unsent_.empty()) {
    const uint64_t key = unsent_.front();
    KeepMessage message{.type = KeepMessage::Type::drop, .key = key};
    std::vector<int> fds;
    if (const auto found = held.find(key); found != held.end()) {
      message.type = KeepMessage::Type::hold;
      message.kind = found->second.kind;
      message.parent = found->second.parent;
      std::ranges::transform(found->second.fds, std::back_inserter(fds), &base::Fd::get);
    }
    if (send_message(socket(), message, fds) != 0) {
      return false;
    }
    unsent_.pop_front();
  }
  if (check_ && send_message(socket(), {.type = KeepMessage::Type::check}, {}) != 0) {
    return false;
  }
  check_ = false;
  if (go_ != 0) {
    const KeepMessage message{.type = KeepMessage::Type::go, .value = go_};
    if (send_message(socket(), message, std::span(&page_, 1)) != 0) {
      return false;
    }
    go_ = 0;
  }
  return true;
}

}  // namespace pager
