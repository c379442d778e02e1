// SPDX-License-Identifier: Apache-2.0
// HTTP on the control socket, with libmicrohttpd.
#pragma once

#include <memory>

#include "base/unix_listener.h"
#include "pager/serve/control_api.h"
#include "pager/serve/control_connections.h"

namespace pager {

// Answers requests from its construction on, each connection on its own thread. Without connections
// no thread wakes up. Only root and the server's user are answered, whatever mode and owner the
// socket has. Borrows both arguments and leaves the listener open.
class ControlServer {
 public:
  // Throws std::system_error.
  ControlServer(const base::UnixListener& listener, ControlApi& api,
                const ControlConnections::Limits& limits = {});
  // Waits, for at most one second, until the current requests are answered.
  ~ControlServer();
  // Accepts no further connections, and waits as the destructor does. Clients that connect from
  // then on wait in the queue of the socket.
  void finish_requests();
  ControlServer(const ControlServer&) = delete;
  ControlServer(ControlServer&&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;
  ControlServer& operator=(ControlServer&&) = delete;

 private:
  struct Http;
  std::unique_ptr<Http> http_;
};

}  // namespace pager
