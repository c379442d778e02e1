// SPDX-License-Identifier: Apache-2.0
// Whether a process listens on a unix socket, without a wait.
#pragma once

#include <sys/types.h>

#include <string>

namespace base {

struct SocketProbe {
  bool in_use = false;  // a process has the socket open; also when that cannot be determined
  pid_t pid = 0;        // the process that listens; 0 when it cannot be seen from here
};
// Connects to the socket at `path`, of any length, and closes the connection. Never blocks. What is
// not a socket, or is absent, is not in use. A pathname socket is reached across network and PID
// namespaces, unlike the lines of /proc/net/unix.
SocketProbe probe_socket(const std::string& path);

}  // namespace base
