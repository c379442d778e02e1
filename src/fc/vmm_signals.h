// SPDX-License-Identifier: Apache-2.0
// The signals of the process that runs a VMM, read from a descriptor.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <optional>

#include "base/fd.h"

namespace fc {

inline constexpr int kDetach = SIGUSR1;       // the caller is done: live on without it
inline constexpr int kCallerEnded = SIGUSR2;  // sent by the kernel

// Blocks HUP, INT, TERM, kDetach and kCallerEnded for this process and ignores PIPE. A signal that
// is blocked and not ignored waits until it is read. A shell starts background processes with INT
// ignored: INT is reset to its default, and HUP stays ignored if it was (nohup).
class VmmSignals {
 public:
  VmmSignals();
  int fd() const { return fd_.get(); }
  // The next signal, the one with the lowest number first; nothing if none is pending.
  std::optional<int> next() const;

 private:
  base::Fd fd_;
};

// From now on the end of the parent sends kCallerEnded. Returns false if the parent is not
// `caller`, because it has ended before this call.
bool watch_caller(pid_t caller);
// The descriptor of SNAPFORK_ERROR_FD (base/message.h), if it is not a standard stream.
std::optional<int> error_descriptor();
// Leaves the session of the caller, whose end has no effect from now on, its standard streams and
// the pipe for failures.
void leave_caller();

}  // namespace fc
