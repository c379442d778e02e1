// SPDX-License-Identifier: Apache-2.0
// A timer that interrupts a blocking read(2) once a second.
#pragma once

#include <ctime>

namespace pager {

// While this object exists, the thread that created it gets SIGRTMIN once a second. The handler
// does nothing; a blocking read(2) fails with EINTR. Kernels without RWF_NOWAIT on a userfaultfd
// need this: a VMM can make reads of its userfaultfd block, and the session would then notice
// neither the end of its VMM nor the end of the server.
class ReadTicker {
 public:
  // Throws std::system_error if no timer can be created.
  ReadTicker();
  ~ReadTicker();
  ReadTicker(const ReadTicker&) = delete;
  ReadTicker(ReadTicker&&) = delete;
  ReadTicker& operator=(const ReadTicker&) = delete;
  ReadTicker& operator=(ReadTicker&&) = delete;

 private:
  timer_t timer_{};
};

}  // namespace pager
