// SPDX-License-Identifier: Apache-2.0
// Sends and receives the messages of keeper and server.
#include "pager/keep/message.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/error.h"
#include "base/unix_socket.h"

namespace pager {

int send_message(int socket, KeepMessage message, std::span<const int> fds) {
  message.fd_count = static_cast<uint32_t>(fds.size());
  alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * KeepMessage::kMostFds)>
      control{};
  struct iovec part {
    .iov_base = &message, .iov_len = sizeof message
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
  for (;;) {
    if (::sendmsg(socket, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) {
      return 0;
    }
    if (errno == ETOOMANYREFS) {
      return EAGAIN;  // too many descriptors wait in sockets
    }
    if (errno != EINTR) {
      return errno;
    }
  }
}

std::optional<ReceivedMessage> receive_message(int socket, bool* lost) {
  ReceivedMessage received;
  base::Received result;
  try {
    result = base::recv_with_fds(socket, std::as_writable_bytes(std::span(&received.message, 1)),
                                 received.fds);
  } catch (const std::system_error& error) {
    if (error.code().value() == ECONNRESET) {  // it has not read everything
      throw PeerEnded();
    }
    throw;
  }
  if (result.would_block) {
    return std::nullopt;
  }
  const KeepMessage& message = received.message;
  if (result.bytes == 0) {
    throw PeerEnded();
  }
  if (result.bytes != sizeof(KeepMessage) || message.version != KeepMessage::kVersion) {
    throw base::BadData("the keeper and the page server are of different versions");
  }
  if (result.fds_truncated || received.fds.size() != message.fd_count) {
    if (lost == nullptr) {
      throw base::BadData("out of file descriptors (RLIMIT_NOFILE)");
    }
    *lost = true;
  }
  return received;
}

}  // namespace pager
