// SPDX-License-Identifier: Apache-2.0
// The VMM process of a session: its identity, whether it is alive, and how to kill it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "base/fd.h"

namespace pager {

class Vmm {
 public:
  // Identifies the peer of a socket that was just accepted. SO_PEERPIDFD (Linux 6.5) is immune to
  // pid reuse; without it pidfd_open and the start time are used. Throws std::system_error.
  static Vmm of_peer(int socket);

  // The process that an earlier server has served. `pidfd` may be invalid.
  static Vmm of_pidfd(base::Fd pidfd);
  void set_identity(pid_t pid, uint64_t start_time) {
    pid_ = pid;
    start_time_ = start_time;
  }

  // 0 if the process is outside of the server's PID namespace.
  pid_t pid() const { return pid_; }
  uid_t uid() const { return uid_; }
  // base::process_start_time; 0 if not known.
  uint64_t start_time() const { return start_time_; }
  // Readable when the process has ended. -1 if it is not visible or has already ended.
  int pidfd() const { return pidfd_.get(); }
  // Call it when the process has ended.
  void close_pidfd() { pidfd_.reset(); }
  // Returns another handle of the same process. Throws std::system_error.
  Vmm duplicate() const;
  // Returns 0 if kill() can end the process, else an errno: EINVAL if it is in a PID namespace that
  // is not below the server's, EPERM, ESRCH if it has ended or has no pidfd.
  int cannot_kill() const;
  // Sends SIGKILL, never to another process of the same pid. Returns false if it could not be sent.
  bool kill() const;

 private:
  pid_t pid_ = 0;
  uid_t uid_ = 0;
  uint64_t start_time_ = 0;
  base::Fd pidfd_;
};

// Returns whether the memory of a userfaultfd still exists. Reads and WAKEs do not show this: they
// succeed after the VMM has died. `unregistered` is the address of a page outside of its ranges.
bool memory_is_alive(int uffd, uint64_t unregistered);

}  // namespace pager
