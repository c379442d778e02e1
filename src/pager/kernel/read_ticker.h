// SPDX-License-Identifier: Apache-2.0
// Ends calls that block, once a second.
#pragma once

#include <ctime>

namespace pager {

// While it exists, the thread that made it gets a signal once a second, which does nothing but end
// a read(2) that blocks (EINTR). For kernels where a VMM can make reads of its userfaultfd block:
// without it, such a session would never see the end of its VMM or of the server. The signal is
// SIGRTMIN.
class ReadTicker {
 public:
  // Throws std::system_error when there is no timer.
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
