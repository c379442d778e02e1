// SPDX-License-Identifier: Apache-2.0
// A process tree in a PID namespace of its own, which ends with the process that made it.
#pragma once

#include <sys/types.h>

#include "base/fd.h"

namespace fc {

// A VMM that changes its user loses its PR_SET_PDEATHSIG, so it would survive the process that
// started it. The first process of a PID namespace keeps its user, and therefore that setting; at
// its end the kernel kills all processes of the namespace.
class PidNamespace {
 public:
  // Throws std::system_error.
  PidNamespace();

  // As fork(2), but the new process is the child of the first process of a new PID namespace.
  // Returns 0 in the new process, and in the caller the pid of the first process. That process
  // holds no descriptors, ends with the thread that called fork(), and otherwise when the new
  // process ends: with its exit status, or 128 and the number of the signal that ended it. Call it
  // once, before other threads exist. Throws std::system_error.
  pid_t fork();
  // The pid of the new process, as the caller sees it; 0 if it could not be started. Waits for it.
  pid_t await_member();

 private:
  [[noreturn]] static void be_first(pid_t member);

  base::Fd ours_;
  base::Fd theirs_;
};

}  // namespace fc
