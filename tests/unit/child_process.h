// SPDX-License-Identifier: Apache-2.0
// A child of the test that runs a function and is killed, if it still runs, at the end.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <functional>

#include "base/error.h"
#include "base/fd.h"

class ChildProcess {
 public:
  // `body` runs in the child and calls `ready` once, which lets the parent continue. The child
  // exits with status 0 after `body`, and with 1 if `body` throws.
  explicit ChildProcess(const std::function<void(const std::function<void()>& ready)>& body) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
      base::throw_errno("cannot make a pipe");
    }
    base::Fd read_end(pipe[0]);
    base::Fd write_end(pipe[1]);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::alarm(120);  // a test that fails leaves no process that runs forever
      int status = 0;
      try {
        body([&] { base::write_full(write_end.get(), "r", "pipe"); });
      } catch (...) {
        status = 1;
      }
      ::_exit(status);
    }
    write_end.reset();
    ready_ = std::move(read_end);
  }
  ~ChildProcess() { kill(); }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess(ChildProcess&&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ChildProcess& operator=(ChildProcess&&) = delete;

  pid_t pid() const { return pid_; }
  // Waits for `ready`; false when the child ended without it.
  bool wait_ready() const {
    char byte = 0;
    return ::read(ready_.get(), &byte, 1) == 1;
  }
  // SIGKILL, and waits for the end.
  void kill() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      wait();
    }
  }
  // The status that waitpid gives.
  int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_ = -1;
  base::Fd ready_;
};
