// SPDX-License-Identifier: Apache-2.0
// The directory of the page server's sockets.
#pragma once

#include <string>

namespace store {

// Returns the directory s/ beside the control socket: that of SNAPFORK_PAGER, else /run/snapfork/s
// for root, else snapfork/s in XDG_RUNTIME_DIR. Returns an empty string if none of these is known.
std::string find_socket_dir();
// The same. Throws base::UsageError if none of these is known.
std::string default_socket_dir();

}  // namespace store
