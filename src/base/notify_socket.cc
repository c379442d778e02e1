// SPDX-License-Identifier: Apache-2.0
// Datagrams to the service manager.
#include "base/notify_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

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
  constexpr size_t kMostFds = 8;
  if (!socket_ || fds.size() > kMostFds) {
    return true;
  }
  alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMostFds)> control{};
  struct iovec part {
    .iov_base = const_cast<char*>(text.data()), .iov_len = text.size()
  };
  struct msghdr packet {};
  packet.msg_iov = &part;
  packet.msg_iovlen = 1;
  if (!fds.empty()) {
    packet.msg_control = control.data();
    packet.msg_controllen = CMSG_SPACE(fds.size_bytes());
    struct cmsghdr* header = CMSG_FIRSTHDR(&packet);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  while (::sendmsg(socket_.get(), &packet, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS) {
      return false;
    }
    if (errno != EINTR) {
      break;
    }
  }
  return true;
}

}  // namespace base
