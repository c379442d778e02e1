// SPDX-License-Identifier: Apache-2.0
// An eventfd, with which one thread wakes another that waits in epoll_wait(2).
#pragma once

#include <sys/eventfd.h>

#include "base/error.h"
#include "base/fd.h"

namespace pager {

// Non-blocking, close-on-exec. Throws std::system_error.
inline base::Fd make_event_fd() {
  base::Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) {
    base::throw_errno("cannot create an eventfd");
  }
  return fd;
}
// Makes it readable. The write fails only if the counter is full, and then the eventfd is readable
// already.
inline void signal_event(int event_fd) {
  ::eventfd_write(event_fd, 1);
}
// Makes it unreadable again.
inline void clear_event(int event_fd) {
  eventfd_t value = 0;
  ::eventfd_read(event_fd, &value);
}

}  // namespace pager
