// SPDX-License-Identifier: Apache-2.0
// The keeper of a kill test, a process of its own.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"

namespace pager {

class KeeperProcess {
 public:
  // Starts `command`, with standard output and error in the file `log`, and waits until the server
  // is ready: it writes to the descriptor that {} in a word of the command stands for. Throws
  // std::system_error, and base::Refused if it ends before that.
  KeeperProcess(std::vector<std::string> command, const std::string& log);
  // Ends it by SIGTERM, which it gives to its server; after 10 s by SIGKILL.
  ~KeeperProcess();
  KeeperProcess(const KeeperProcess&) = delete;
  KeeperProcess(KeeperProcess&&) = delete;
  KeeperProcess& operator=(const KeeperProcess&) = delete;
  KeeperProcess& operator=(KeeperProcess&&) = delete;

  bool has_ended() const;
  // Its servers: the one that serves, then its successor. Empty if the kernel does not list the
  // children of a process (CONFIG_PROC_CHILDREN).
  std::vector<pid_t> servers() const;
  // Sends SIGKILL to the server that serves, if that is `pid`.
  bool kill_server(pid_t pid) const;

 private:
  pid_t pid_ = -1;
  base::Fd pidfd_;
};

}  // namespace pager
