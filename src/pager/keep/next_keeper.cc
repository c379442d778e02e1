// SPDX-License-Identifier: Apache-2.0
// A page server starts another keeper when that of its guests has ended.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/message.h"
#include "base/process.h"
#include "base/unix_socket.h"
#include "pager/keep/keeper_link.h"
#include "pager/kernel/kernel_abi.h"

namespace pager {
namespace {

using Type = KeepMessage::Type;

// The other side of a socket pair is its creator.
base::Fd pidfd_of_creator(int socket) {
  int fd = -1;
  socklen_t length = sizeof fd;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &length) == 0) {
    return base::Fd(fd);
  }
  return base::open_pidfd(base::peer_credentials(socket).pid).value_or(base::Fd());
}

base::Fd open_program(const std::string& path) {
  return base::Fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
}

// Attributes of the new process: its own process group, so that it does not get the signals that a
// terminal sends to the group of this one, and no blocked signals.
class SpawnAttributes {
 public:
  SpawnAttributes() {
    sigset_t none;
    ::sigemptyset(&none);
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  }
  ~SpawnAttributes() { ::posix_spawnattr_destroy(&attributes_); }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes(SpawnAttributes&&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(SpawnAttributes&&) = delete;
  const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_{};
};

// Starts the program with one descriptor of this process, under the same number.
pid_t spawn(int program, std::vector<std::string> words, int inherited) {
  std::vector<char*> arguments;
  std::ranges::transform(words, std::back_inserter(arguments),
                         [](std::string& word) { return word.data(); });
  arguments.push_back(nullptr);
  const SpawnAttributes attributes;
  posix_spawn_file_actions_t actions{};
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, inherited, inherited);  // clears FD_CLOEXEC
  const std::string path = "/proc/self/fd/" + std::to_string(program);
  pid_t pid = 0;
  const int error =
      ::posix_spawn(&pid, path.c_str(), &actions, attributes.get(), arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    base::throw_error_number(error, "cannot start another keeper");
  }
  return pid;
}

}  // namespace

void KeeperLink::identify_keeper() {
  try {
    keeper_ = pidfd_of_creator(socket_.get());
    const pid_t pid = base::peer_credentials(socket_.get()).pid;
    keeper_program_ = open_program("/proc/" + std::to_string(pid) + "/exe");
    if (!keeper_program_) {
      const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
      keeper_program_ = open_program(self.parent_path() / "uffd-keeper");
    }
  } catch (const std::system_error& error) {
    base::say_detail(error.what());  // it has just ended
  }
}

KeeperLink::Health KeeperLink::check() {
  const std::lock_guard lock(mutex_);
  if (starts_) {
    try {
      if (!receive_message(socket_.get())) {
        return Health::starts;
      }
      starts_ = lost_ = false;
      return Health::runs;
    } catch (const std::exception& error) {
      starts_ = false;
      base::say_detail(std::string("the new keeper: ") + error.what());
    }
  } else if (!lost_) {
    struct pollfd socket {
      .fd = socket_.get(), .events = POLLRDHUP, .revents = 0
    };
    if (::poll(&socket, 1, 0) > 0) {
      lose("it has ended");
    }
  }
  return lost_ ? Health::lost : Health::linked;
}

// Two keepers would start two servers, so one that does not answer is killed.
bool KeeperLink::keeper_has_ended() {
  if (!keeper_) {
    return true;
  }
  ::syscall(SYS_pidfd_send_signal, keeper_.get(), SIGKILL, nullptr, 0);
  struct pollfd ended {
    .fd = keeper_.get(), .events = POLLIN, .revents = 0
  };
  if (::poll(&ended, 1, 0) <= 0) {
    return false;
  }
  siginfo_t info{};
  ::waitid(P_PIDFD, static_cast<id_t>(keeper_.get()), &info,
           WEXITED | WNOHANG);  // if it is a child
  return true;
}

bool KeeperLink::start_keeper(const std::vector<std::string>& options) {
  const std::lock_guard lock(mutex_);
  starts_ = false;
  if (!keeper_has_ended()) {
    return false;
  }
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    base::throw_errno("cannot create a socket for a keeper");
  }
  base::Fd ours(pair[0]);
  const base::Fd theirs(pair[1]);
  const base::Fd self = base::open_pidfd(::getpid()).value_or(base::Fd());
  const base::Fd program = open_program("/proc/self/exe");
  std::array<int, kept::kFirstFds> fds{};
  fds[kept::kPage] = page_fd_.get();
  fds[kept::kServerPidfd] = self.get();
  fds[kept::kServerBinary] = program.get();
  const int error = send_message(
      ours.get(), {.type = Type::hello, .value = static_cast<uint64_t>(::getpid())}, fds);
  if (error != 0) {
    base::throw_error_number(error, "cannot reach the new keeper");
  }
  std::vector<std::string> words{"uffd-keeper", "--serving-fd=" + std::to_string(theirs.get()),
                                 "--"};
  words.insert(words.end(), options.begin(), options.end());
  const pid_t pid = spawn(keeper_program_.get(), std::move(words), theirs.get());
  keeper_ = base::open_pidfd(pid).value_or(base::Fd());  // not waited for before this
  socket_ = std::move(ours);
  starts_ = true;
  return true;
}

void KeeperLink::given() {
  const std::lock_guard lock(mutex_);
  if (!lost_ && send_message(socket_.get(), {.type = Type::ready}, {}) != 0) {
    lose("it does not answer");
  }
}

void KeeperLink::say_goodbye(uint64_t service_key) {
  const std::lock_guard lock(mutex_);
  if (starts_) {  // it would take this end for a crash
    keeper_has_ended();
  }
  call({.type = Type::drop, .key = service_key}, {});
}

}  // namespace pager
