// SPDX-License-Identifier: Apache-2.0
// One page server of a keeper: its process, its socket, and what it has not been sent yet.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/fd.h"
#include "pager/keep/keeper_link.h"
#include "pager/keep/message.h"

namespace pager {

// The program of the servers, which is executed by its descriptor: a package that is replaced does
// not change it.
struct ServerProgram {
  base::Fd binary;
  std::vector<std::string> arguments;  // after the name of the program
  // Descriptors that only the first server inherits, such as that of --ready-fd.
  std::vector<base::Fd> first_only;
};

class KeptServer {
 public:
  // Starts a process in a process group of its own, so that the signals of a terminal reach only
  // the keeper. A `successor` does not use what only the first server may use. Throws
  // std::system_error.
  static KeptServer start(const ServerProgram& program, bool successor);

  // The server that serves, whose keeper has ended. It is not a child of this process, so waitid(2)
  // does not work: a pidfd becomes readable when the last thread of the process has ended.
  static KeptServer adopt(base::Fd socket, base::Fd pidfd, pid_t pid);

  bool is_child() const { return is_child_; }
  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }
  int socket() const { return socket_.get(); }
  void kill(int signal) const;
  // How the process has ended (si_code and si_status of waitid(2)); nothing while it lives.
  struct End {
    bool exited = false;
    int status = 0;  // exit status, or the signal
  };
  std::optional<End> end() const;

  // Queues the thing of a key, as it is when it is sent: its descriptors, or its removal.
  void queue(uint64_t key) { unsent_.push_back(key); }
  // Queues the order to serve, after all that is queued.
  void queue_go(uint64_t generation, int page) {
    go_ = generation;
    page_ = page;
  }
  // Queues Type::check, after all that is queued.
  void queue_check() { check_ = true; }
  // Sends what is queued, as far as the socket takes it. Returns whether nothing is left.
  bool flush(const HeldThings& held);

  // A server that waits has prepared what it was sent, or has had the time to.
  bool has_waited() const { return settled_.passed(); }

  // Of a server that is not a child: its exit status is not known. Set if it has announced its end.
  bool has_said_goodbye = false;
  bool is_ready = false;
  bool is_closed = false;   // its socket: it ends
  bool is_retired = false;  // killed because the servers have another program now

 private:
  static constexpr std::chrono::seconds kSettles{1};

  bool is_child_ = true;
  pid_t pid_ = 0;
  base::Deadline settled_ = base::Deadline::after(kSettles);
  base::Fd pidfd_;
  base::Fd socket_;
  std::deque<uint64_t> unsent_;
  uint64_t go_ = 0;  // 0: not queued
  int page_ = -1;
  bool check_ = false;
};

}  // namespace pager
