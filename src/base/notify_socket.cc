// SPDX-License-Identifier: Apache-2.0
// Datagrams to the service manager.
#include "base/notify_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

#include "base/unix_socket.h"

namespace base {

NotifySocket::NotifySocket() {
  const char* path = ::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) {
    return;
  }
  struct sockaddr_un address {};
  const std::string_view name(path);
  if (name.size() >= sizeof address.sun_path) {
    return;
  }
  address.sun_family = AF_UNIX;
  std::ranges::copy(name, address.sun_path);
  address.sun_path[0] = path[0] == '@' ? '\0' : path[0];  // an abstract name
  Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto length = static_cast<socklen_t>(offsetof(struct sockaddr_un, sun_path) + name.size());
  if (socket &&
      ::connect(socket.get(), reinterpret_cast<const struct sockaddr*>(&address), length) == 0) {
    socket_ = std::move(socket);
  }
}

bool NotifySocket::send(std::string_view text, std::span<const int> fds) const {
  return !socket_ || send_packet(socket_.get(), text, fds, MSG_DONTWAIT) >= 0 ||
         (errno != EAGAIN && errno != ENOBUFS && errno != ETOOMANYREFS);
}

}  // namespace base
