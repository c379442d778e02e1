// SPDX-License-Identifier: Apache-2.0
// Probes a unix socket by a non-blocking connect.
#include "base/socket_probe.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "base/fd.h"

namespace base {

SocketProbe probe_socket(const std::string& path) {
  // O_PATH does not open a device or FIFO at the path, and allows a path of more than 107 bytes.
  const Fd file(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!file) {
    return {.in_use = errno != ENOENT && errno != ENOTDIR && errno != ELOOP};
  }
  struct stat st {};
  if (::fstat(file.get(), &st) == 0 && !S_ISSOCK(st.st_mode)) {
    return {};
  }
  const Fd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  struct sockaddr_un address {};
  address.sun_family = AF_UNIX;
  const std::string name = "/proc/self/fd/" + std::to_string(file.get());
  std::memcpy(static_cast<char*>(address.sun_path), name.c_str(), name.size() + 1);
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
