// SPDX-License-Identifier: Apache-2.0
// The sockets in the run directory: where they are if no option names them.
#pragma once

#include <string>

namespace store {

// Returns the control socket: SNAPFORK_PAGER, else /run/snapfork/pager.sock for root, else
// snapfork/pager.sock in XDG_RUNTIME_DIR. Returns an empty string if none of these is known.
std::string find_control_socket();
// Returns the directory of the sessions' sockets: s/ beside `control`, as an absolute path.
std::string socket_dir_of(const std::string& control);
// The same for find_control_socket(); an empty string if that is not known.
std::string find_socket_dir();
// The same. Throws base::UsageError if it is not known.
std::string default_socket_dir();

// Returns the directory for the vsock sockets of guests whose own directory has a path that is too
// long: v/ beside the control socket, as an absolute path. Returns an empty string if that is not
// known.
std::string find_vsock_dir();

// Returns the directory of the directories of VMMs that `snapfork run` starts: vm/ beside the
// control socket, as an absolute path. Returns an empty string if that is not known.
std::string find_vmm_dir();

}  // namespace store
