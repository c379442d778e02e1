// SPDX-License-Identifier: Apache-2.0
// Leases (fcntl(2), F_SETLEASE): how to know that no process writes to a file.
#pragma once

#include "base/fd.h"

namespace cloning {

// Granted only while no other process is in the way; from then on a process that opens the file in
// a conflicting way waits in open(2) until the lease ends, for at most
// /proc/sys/fs/lease-break-time seconds (45). Requires that SIGIO is ignored. A lease belongs to
// the open file description: to end one ends all that were taken through duplicates of `fd`.
class Lease {
 public:
  enum class Kind {
    read,   // no process has the file open for writing, or mapped so; `fd` is for reading only
    write,  // no other process has the file open at all
  };
  enum class State {
    held,
    refused,  // another process is in the way, or waits for the lease
    unknown,  // not our file, or the filesystem has no leases
  };
  Lease(int fd, Kind kind);
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  Lease(Lease&&) = delete;
  Lease& operator=(Lease&&) = delete;
  ~Lease();

  // Asks the kernel: a lease that a process waits for counts as refused.
  State state() const;
  bool is_held() const { return state() == State::held; }

 private:
  int fd_;
  int type_;
  State state_ = State::held;
};

// The file of `fd`, opened once more for reading: a lease on this ends independently of others on
// `fd`. Throws std::system_error.
base::Fd open_again(int fd);

}  // namespace cloning
