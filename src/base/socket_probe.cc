// SPDX-License-Identifier: Apache-2.0
// Probes a unix socket by a non-blocking connect.
#include "base/socket_probe.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/fd.h"
#include "base/unix_socket.h"

namespace base {

SocketProbe probe_socket(const std::string& path) {
  // O_PATH does not open a device or FIFO at the path, and allows a path of more than 107 bytes.
  const Fd file = open_socket_path(path);
  if (!file) {
    return {.in_use = errno != ENOENT && errno != ENOTDIR && errno != ELOOP};
  }
  struct stat st {};
  if (::fstat(file.get(), &st) == 0 && !S_ISSOCK(st.st_mode)) {
    return {};
  }
  const Fd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const struct sockaddr_un address = unix_address("/proc/self/fd/" + std::to_string(file.get()));
  if (!client || ::connect(client.get(), reinterpret_cast<const struct sockaddr*>(&address),
                           sizeof address) != 0) {
    // EAGAIN: the backlog of the listener is full. EPROTOTYPE: a socket of another type is
    // bound.
    return {.in_use = errno != ECONNREFUSED && errno != ENOENT};
  }
  struct ucred peer {};
  socklen_t length = sizeof peer;
  const bool known = ::getsockopt(client.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0;
  return {.in_use = true, .pid = known ? peer.pid : 0};
}

}  // namespace base
