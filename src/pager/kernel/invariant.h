// SPDX-License-Identifier: Apache-2.0
// Checks for bugs of ours in a server.
#pragma once

#include <stdexcept>
#include <string>

namespace pager {

// Throws std::logic_error where SNAPFORK_CHECK would abort: a bug in the books of one session ends
// that session, whose VMM is killed, and not the server with all its guests.
inline void require(bool condition, const char* what) {
  if (!condition) {
    throw std::logic_error(std::string("bug: ") + what);
  }
}

}  // namespace pager
