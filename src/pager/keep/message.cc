// SPDX-License-Identifier: Apache-2.0
// Sends and receives the messages of keeper and server.
#include "pager/keep/message.h"

#include <sys/socket.h>

#include <cerrno>
#include <string_view>
#include <system_error>

#include "base/error.h"
#include "base/unix_socket.h"

namespace pager {

int send_message(int socket, KeepMessage message, std::span<const int> fds) {
  message.fd_count = static_cast<uint32_t>(fds.size());
  const std::string_view bytes(reinterpret_cast<const char*>(&message), sizeof message);
  if (base::send_packet(socket, bytes, fds, MSG_DONTWAIT) >= 0) {
    return 0;
  }
  return errno == ETOOMANYREFS ? EAGAIN : errno;  // too many descriptors wait in sockets
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
