// SPDX-License-Identifier: Apache-2.0
// Where the page server's sockets are, for records that name them.
#pragma once

#include <string>

namespace store {

// The directory s/ beside the control socket: that of SNAPFORK_PAGER, else /run/snapfork/s for
// root, else snapfork/s in XDG_RUNTIME_DIR; empty when none of these is known.
std::string find_socket_dir();
// The same. Throws base::UsageError when none of these is known.
std::string default_socket_dir();

}  // namespace store
