// SPDX-License-Identifier: Apache-2.0
// Takes, queries and ends a lease.
#include "file/file_lease.h"

#include <fcntl.h>

#include <cerrno>
#include <csignal>

#include "base/error.h"

namespace file {

FileLease::FileLease(int fd, Kind kind) : fd_(fd), type_(kind == Kind::read ? F_RDLCK : F_WRLCK) {
  // The default signal, SIGIO, would end this process; SIGURG is ignored by default.
  ::fcntl(fd_, F_SETSIG, SIGURG);
  if (::fcntl(fd_, F_SETLEASE, type_) == 0) {
    return;
  }
  if (errno == EAGAIN) {
    state_ = State::refused;
  } else if (errno == EACCES) {
    state_ = State::denied;
  } else if (errno == EINVAL || errno == ENOLCK || errno == EOPNOTSUPP) {
    state_ = State::unsupported;
  } else {
    base::throw_errno("cannot take a lease");
  }
}

FileLease::~FileLease() {
  if (state_ == State::held) {
    ::fcntl(fd_, F_SETLEASE, F_UNLCK);
  }
}

FileLease::State FileLease::state() const {
  if (state_ == State::held && ::fcntl(fd_, F_GETLEASE) != type_) {
    return State::refused;
  }
  return state_;
}

base::Fd open_again(int fd) {
  return base::open_file("/proc/self/fd/" + std::to_string(fd), O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

}  // namespace file
