// SPDX-License-Identifier: Apache-2.0
// HTTP over the control socket, by libmicrohttpd.
#pragma once

#include <memory>

#include "base/unix_listener.h"
#include "pager/serve/control_api.h"
#include "pager/serve/control_connections.h"

namespace pager {

// Answers requests, each connection on a thread of its own, from its construction on. Without
// connections no thread wakes up. Only root and the server's user are answered, whatever mode and
// owner the socket has. Borrows both; the listener is left open.
class ControlServer {
 public:
  // Throws std::system_error.
  ControlServer(const base::UnixListener& listener, ControlApi& api,
                const ControlConnections::Limits& limits = {});
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
