// SPDX-License-Identifier: Apache-2.0
// A lease on an open file: whether other processes have that file open.
#pragma once

#include "base/fd.h"

namespace file {

// fcntl(2), F_SETLEASE. The kernel grants a lease only while no conflicting descriptor exists, in
// any PID namespace. It also counts mappings whose descriptor is closed. A refused lease therefore
// proves that another process uses the file. While the lease is held, a conflicting open(2) waits,
// at most /proc/sys/fs/lease-break-time seconds (45). A lease belongs to the open file description:
// its end ends all leases taken through duplicates of `fd`.
class FileLease {
 public:
  enum class Kind {
    read,   // conflicts with every descriptor that is open for writing
    write,  // conflicts with every other descriptor
  };
  enum class State {
    held,
    refused,  // another process has the file open, or its open(2) waits for the end of the lease
    denied,   // another user owns the file
    unsupported,  // the filesystem has no leases
  };
  // `fd` is open for reading only, on a regular file, and stays open as long as the lease. The
  // break of a lease sends SIGURG, which is ignored by default. Throws std::system_error.
  FileLease(int fd, Kind kind);
  ~FileLease();
  FileLease(const FileLease&) = delete;
  FileLease(FileLease&&) = delete;
  FileLease& operator=(const FileLease&) = delete;
  FileLease& operator=(FileLease&&) = delete;

  // Asks the kernel again. If another process waits for the lease, the result is `refused`.
  State state() const;
  bool is_held() const { return state() == State::held; }
  // Returns whether the kernel has decided: the lease is held or refused.
  bool is_proof() const { return state_ == State::held || state_ == State::refused; }

 private:
  int fd_;
  int type_;  // F_RDLCK or F_WRLCK
  State state_ = State::held;
};

// Opens the file of `fd` once more for reading. A lease on this descriptor ends independently of
// others on `fd`. Throws std::system_error.
base::Fd open_again(int fd);

}  // namespace file
