// SPDX-License-Identifier: Apache-2.0
// A process that connects to a page server as a VMM does.
#pragma once

#include <unistd.h>

#include <functional>
#include <string>

#include "base/unix_socket.h"
#include "pager/protocol/handshake.h"
#include "tests/unit/child_process.h"
#include "tests/unit/pager/test_guest.h"

namespace pager {

// Connects and sends the handshake of `guest` in one message; returns the socket.
inline base::Fd greet(const std::string& socket_path, const TestGuest& guest) {
  std::optional<base::Fd> socket =
      base::connect_unix(socket_path, base::Deadline::after(std::chrono::minutes(1)));
  if (!socket) {
    throw std::runtime_error("no server listens at " + socket_path);
  }
  const std::vector<hot::Region> regions{guest.region()};
  const std::array fds{guest.uffd()};
  base::send_with_fds(socket->get(), compose_handshake(regions), fds);
  return std::move(*socket);
}

// A VMM of `pages` pages, at the address `at` or anywhere. `work` runs after the handshake is sent;
// the socket stays open until the VMM ends.
class FakeVmm {
 public:
  using Ready = std::function<void()>;
  FakeVmm(const std::string& socket_path, uint64_t pages,
          const std::function<void(const TestGuest&, base::Fd socket, const Ready&)>& work,
          void* at = nullptr)
      : process_([&](const Ready& ready) {
          const TestGuest guest(pages, hot::kSmallPage, at);
          work(guest, greet(socket_path, guest), ready);
        }) {}

  pid_t pid() const { return process_.pid(); }
  // Returns whether the work has called `ready`; false if it ended without.
  bool wait_ready() const { return process_.wait_ready(); }
  void kill() { process_.kill(); }
  // Waits for the end of the VMM and returns its status.
  int wait() { return process_.wait(); }
  bool ended_well() {
    const int status = process_.wait();
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  ChildProcess process_;
};

}  // namespace pager
