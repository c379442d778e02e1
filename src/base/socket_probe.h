// SPDX-License-Identifier: Apache-2.0
// Determines whether a process listens on a unix socket, without waiting.
#pragma once

#include <sys/types.h>

#include <string>

namespace base {

struct SocketProbe {
  bool in_use = false;  // a process has the socket open, or this cannot be determined
  pid_t pid = 0;        // the process that listens; 0 if it is not visible here
};
// Connects to the socket at `path`, of any length, and closes the connection. Never blocks. An
// absent file or a file of another type is not in use. A pathname socket is reachable across
// network and PID namespaces, unlike the lines of /proc/net/unix.
SocketProbe probe_socket(const std::string& path);

}  // namespace base
