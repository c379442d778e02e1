// SPDX-License-Identifier: Apache-2.0
// Copies of the keeper's descriptors at the service manager (systemd's FDSTORE).
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "base/deadline.h"
#include "base/fd.h"
#include "base/notify_socket.h"
#include "pager/keep/keeper_link.h"

namespace pager {

// If keeper and servers are killed together, the service manager starts the keeper again and passes
// these copies to it. Each has a name that identifies the thing and the position of the descriptor:
// "KIND.KEY.PARENT.POSITION", or "page". Without a service manager it does nothing.
//
// A manager stores only one descriptor of an open file. So the socket of a session keeps the name
// that it had as a connection, its image is that of its endpoint, under the endpoint's name, and
// servers open images anew for each endpoint.
class FdStore {
 public:
  // What the service manager has passed to this process; empty if it has nothing.
  struct Stored {
    base::Fd page;
    HeldThings things;
  };
  // Reads LISTEN_FDS (sd_listen_fds(3)) and removes it from the environment. The descriptors get
  // FD_CLOEXEC.
  static Stored take();

  FdStore();
  void hold_page(int page) { add("page", page); }
  // `held` has the thing of the key now; `before` is what it had, Kept::none: nothing.
  void hold(const HeldThings& held, uint64_t key, const HeldThing& before);
  // `held` has the thing still.
  void drop(const HeldThings& held, uint64_t key);
  // Removes everything, waiting for at most one second.
  void clear(const HeldThings& held);

  // Sends what the manager did not take yet. Returns whether nothing is left; else call it when
  // fd() is writable.
  bool flush();
  int fd() const { return manager_.fd(); }

  // When flush() has to report that the keeper lives (WatchdogSec=).
  const base::Deadline& next_report() const { return next_report_; }

 private:
  void add(const std::string& name, int fd);
  void remove(const std::string& name);

  struct Message {
    std::string text;
    base::Fd fd;
  };
  base::NotifySocket manager_;
  std::deque<Message> unsent_;
  int64_t report_ms_ = 0;
  base::Deadline next_report_ = base::Deadline::never();
};

}  // namespace pager
