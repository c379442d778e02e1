// SPDX-License-Identifier: Apache-2.0
// The socket of a service manager (sd_notify(3)).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace base {

// Not libsystemd: the keeper starts with each page server and each statically linked copy of it,
// and the protocol is one datagram. Without NOTIFY_SOCKET it does nothing.
class NotifySocket {
 public:
  // That of the environment.
  NotifySocket();

  bool exists() const { return static_cast<bool>(socket_); }
  int fd() const { return socket_.get(); }
  // Sends assignments such as "READY=1", with descriptors. Never blocks. Returns false if the
  // manager does not read fast enough; other errors count as sent.
  bool send(std::string_view text, std::span<const int> fds = {}) const;

 private:
  Fd socket_;
};

}  // namespace base
