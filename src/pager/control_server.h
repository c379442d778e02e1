// HTTP over the control socket, by libmicrohttpd.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "base/unix_listener.h"
#include "base/unix_socket.h"
#include "pager/control_api.h"

namespace pager {

// Answers requests on a thread of its own from its construction on; idle, it never wakes up. Only
// root and our own user are answered, whoever the socket was given to. Borrows both; the listener
// is left open.
class ControlServer {
 public:
  // Throws base::Unsupported when libmicrohttpd is not installed, std::system_error.
  ControlServer(const base::UnixListener& listener, ControlApi& api);
  // Waits, a second at most, until the requests under way have their replies.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer(ControlServer&&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;
  ControlServer& operator=(ControlServer&&) = delete;

 private:
  struct Http;
  std::unique_ptr<Http> http_;
};

}  // namespace pager
