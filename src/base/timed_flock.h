// SPDX-License-Identifier: Apache-2.0
// flock(2) with a deadline.
#pragma once

#include <string>

#include "base/deadline.h"

namespace base {

// Returns true if it has the lock, false if other processes held it until `deadline`. `operation`
// is LOCK_SH or LOCK_EX; `path` is for messages. Throws std::system_error, or Unsupported if the
// filesystem has no locks. While this function waits, it uses SIGALRM of the process, so only one
// thread at a time may wait with a deadline.
bool lock_file(int fd, int operation, const Deadline& deadline, const std::string& path);

// Whether `error`, the errno of a failed flock(2), means that the filesystem does not support
// locks.
bool means_no_locks(int error);

}  // namespace base
