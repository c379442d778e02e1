// SPDX-License-Identifier: Apache-2.0
// Sends requests and receives replies, each within a deadline.
#include "http/client.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/unix_socket.h"
#include "http/reply.h"

namespace http {

std::optional<Client> Client::connect(const std::string& path, const base::Deadline& deadline,
                                      Trust trust) {
  std::optional<base::Fd> socket = base::connect_unix(path, deadline);
  if (socket && trust == Trust::root_or_self) {
    // In a directory that others can write to, another user's server may listen at this path. Its
    // replies would decide where a guest's memory comes from.
    const uid_t server = base::peer_credentials(socket->get()).uid;
    if (server != 0 && server != ::geteuid()) {
      throw base::Refused("cannot trust the server at " + base::quoted(path) +
                          ": it runs as user " + std::to_string(server) +
                          ", which is neither root nor this user");
    }
  }
  return socket ? std::optional(Client(path, std::move(*socket))) : std::nullopt;
}

void Client::fail(const std::string& why) const {
  throw base::BadData("cannot parse the reply of " + base::quoted(path_) + ": " + why);
}

void Client::fail_as_gone() const {
  throw base::Refused("the server at " + base::quoted(path_) +
                      " ended before it answered; try again");
}

void Client::send(std::string_view data, const base::Deadline& deadline) {
  while (!data.empty()) {
    const ssize_t n = ::send(socket_.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      data.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      if (!base::wait_for(socket_.get(), POLLOUT, deadline)) {
        base::throw_error_number(ETIMEDOUT, "cannot send a request to " + base::quoted(path_));
      }
    } else if (errno == EPIPE || errno == ECONNRESET) {
      fail_as_gone();
    } else if (errno != EINTR) {
      base::throw_errno("cannot send a request to " + base::quoted(path_));
    }
  }
}

void Client::receive(const base::Deadline& deadline) {
  std::array<char, size_t{16} << 10U> buffer{};
  for (;;) {
    const ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (n > 0) {
      received_.append(buffer.data(), static_cast<size_t>(n));
      if (received_.size() > kMaxReplyBytes) {
        fail("the reply is longer than " + std::to_string(kMaxReplyBytes) + " bytes");
      }
      return;
    }
    if (n == 0 && !received_.empty()) {
      fail("the reply ends early");
    }
    if (n == 0 || errno == ECONNRESET) {
      fail_as_gone();
    }
    if (errno == EAGAIN) {
      if (!base::wait_for(socket_.get(), POLLIN, deadline)) {
        base::throw_error_number(ETIMEDOUT, "cannot read a reply from " + base::quoted(path_));
      }
    } else if (errno != EINTR) {
      base::throw_errno("cannot read a reply from " + base::quoted(path_));
    }
  }
}

Client::Reply Client::request(std::string_view method, std::string_view target,
                              std::string_view body, const base::Deadline& deadline) {
  std::string text(method);
  text.append(" ").append(target).append(" HTTP/1.1\r\nHost: localhost\r\nContent-Length: ");
  text.append(std::to_string(body.size())).append("\r\n\r\n").append(body);
  send(text, deadline);

  size_t head_end = std::string::npos;
  while ((head_end = received_.find("\r\n\r\n")) == std::string::npos) {
    receive(deadline);
  }
  ReplyHead head;
  try {
    head = parse_reply_head(std::string_view(received_).substr(0, head_end + 2));
  } catch (const base::BadData& error) {
    fail(error.what());
  }
  const size_t total = head_end + 4 + head.body_bytes;
  while (received_.size() < total) {
    receive(deadline);
  }
  Reply reply{.status = head.status, .body = received_.substr(head_end + 4, head.body_bytes)};
  received_.erase(0, total);
  return reply;
}

}  // namespace http
