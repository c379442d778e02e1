// SPDX-License-Identifier: Apache-2.0
// Starts a keeper, and finds its servers by /proc.
#include "pager/killtest/keeper_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <iterator>
#include <optional>
#include <sstream>

#include "base/deadline.h"
#include "base/error.h"
#include "base/process.h"
#include "base/unix_socket.h"

namespace pager {
namespace {

// Runs in the child.
[[noreturn]] void run(char* const* words, int log) {
  constexpr int kNotExecutable = 126;
  static_cast<void>(::prctl(PR_SET_PDEATHSIG, SIGTERM));
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execv(words[0], words);
  ::_exit(kNotExecutable);
}

}  // namespace

KeeperProcess::KeeperProcess(std::vector<std::string> command, const std::string& log) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) {
    base::throw_errno("cannot create a pipe");
  }
  const base::Fd ready(ends[0]);
  base::Fd theirs(ends[1]);
  static_cast<void>(::fcntl(ready.get(), F_SETFD, FD_CLOEXEC));
  for (std::string& word : command) {
    if (const size_t at = word.find("{}"); at != std::string::npos) {
      word.replace(at, 2, std::to_string(theirs.get()));
    }
  }
  std::vector<char*> words;
  std::ranges::transform(command, std::back_inserter(words),
                         [](std::string& word) { return word.data(); });
  words.push_back(nullptr);
  const base::Fd file = base::open_file(log, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  pid_ = ::fork();
  if (pid_ < 0) {
    base::throw_errno("cannot start a process");
  }
  if (pid_ == 0) {
    run(words.data(), file.get());
  }
  pidfd_ = base::Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  theirs.reset();
  char byte = 0;
  // The end of the file comes when the server has ended.
  if (!base::wait_for(ready.get(), POLLIN, base::Deadline::after(std::chrono::seconds(30))) ||
      ::read(ready.get(), &byte, 1) != 1) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    throw base::Refused("the keeper does not serve");
  }
}

KeeperProcess::~KeeperProcess() {
  ::kill(pid_, SIGTERM);
  if (!base::wait_for(pidfd_.get(), POLLIN, base::Deadline::after(std::chrono::seconds(10)))) {
    ::kill(pid_, SIGKILL);
  }
  ::waitpid(pid_, nullptr, 0);
}

bool KeeperProcess::has_ended() const {
  return base::wait_for(pidfd_.get(), POLLIN, base::Deadline::after(std::chrono::milliseconds(0)));
}

std::vector<pid_t> KeeperProcess::servers() const {
  constexpr size_t kMost = 4096;
  const std::string pid = std::to_string(pid_);
  std::istringstream text(base::read_file("/proc/" + pid + "/task/" + pid + "/children", kMost));
  return {std::istream_iterator<pid_t>(text), std::istream_iterator<pid_t>()};
}

bool KeeperProcess::kill_server(pid_t pid) const {
  const std::optional<base::Fd> server = base::open_pidfd(pid);
  // A pid that is a child of the keeper now was not reused before the descriptor was opened.
  const std::vector<pid_t> now = servers();
  return server && !now.empty() && now.front() == pid &&
         ::syscall(SYS_pidfd_send_signal, server->get(), SIGKILL, nullptr, 0) == 0;
}

}  // namespace pager
