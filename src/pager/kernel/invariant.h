// SPDX-License-Identifier: Apache-2.0
// Checks for bugs in a server that must not end all sessions.
#pragma once

#include <stdexcept>
#include <string>

namespace pager {

// Throws std::logic_error where SNAPFORK_CHECK would abort. A bug in the bookkeeping of one session
// then ends only that session and its VMM, not the server and all its guests.
inline void require(bool condition, const char* what) {
  if (!condition) {
    throw std::logic_error(std::string("bug: ") + what);
  }
}

}  // namespace pager
