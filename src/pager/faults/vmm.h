// SPDX-License-Identifier: Apache-2.0
// The process at the other end of a session: who it is, whether it lives, and how to end it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "base/fd.h"

namespace pager {

class Vmm {
 public:
  // The peer of a socket that was just accepted: by SO_PEERPIDFD (Linux 6.5), which cannot mean
  // another process that was given the number since; else by pidfd_open and the start time. Throws
  // std::system_error.
  static Vmm of_peer(int socket);

  // 0 when it lives outside of our PID namespace.
  pid_t pid() const { return pid_; }
  uid_t uid() const { return uid_; }
  // base::process_start_time; 0 when not known.
  uint64_t start_time() const { return start_time_; }
  // Readable once the process has ended; -1 when there is none (the process cannot be seen, or has
  // ended already).
  int pidfd() const { return pidfd_.get(); }
  // For when it has ended.
  void close_pidfd() { pidfd_.reset(); }
  // The same process once more. Throws std::system_error.
  Vmm duplicate() const;
  // Why kill() could not end it, as an errno: EINVAL when it lives in a PID namespace that is not
  // below ours, EPERM, ESRCH when it has ended or no pidfd is known; 0 when it could.
  int cannot_kill() const;
  // SIGKILL, and never to another process of the same number. False when it could not be sent.
  bool kill() const;

 private:
  pid_t pid_ = 0;
  uid_t uid_ = 0;
  uint64_t start_time_ = 0;
  base::Fd pidfd_;
};

// Whether the memory behind a userfaultfd still exists. (Nothing else of it tells: reads and WAKEs
// of a dead VMM's go on without an error.) `unregistered` is the address of a page outside of its
// ranges.
bool memory_is_alive(int uffd, uint64_t unregistered);

}  // namespace pager
