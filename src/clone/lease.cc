// SPDX-License-Identifier: Apache-2.0
#include "clone/lease.h"

#include <fcntl.h>

#include <cerrno>
#include <string>

namespace cloning {

Lease::Lease(int fd, Kind kind) : fd_(fd), type_(kind == Kind::read ? F_RDLCK : F_WRLCK) {
  if (::fcntl(fd_, F_SETLEASE, type_) != 0) {
    state_ = errno == EAGAIN ? State::refused : State::unknown;
  }
}

Lease::~Lease() {
  if (state_ == State::held) {
    static_cast<void>(::fcntl(fd_, F_SETLEASE, F_UNLCK));
  }
}

Lease::State Lease::state() const {
  if (state_ == State::held && ::fcntl(fd_, F_GETLEASE) != type_) {
    return State::refused;
  }
  return state_;
}

base::Fd open_again(int fd) {
  return base::open_file("/proc/self/fd/" + std::to_string(fd), O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

}  // namespace cloning
