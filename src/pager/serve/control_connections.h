// SPDX-License-Identifier: Apache-2.0
// Limits of the connections of a control socket: their number, and the time that each may take.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "base/log_limit.h"
#include "base/unix_socket.h"

namespace pager {

// A connection waits for its client (for a whole request, or until a reply is read), or for the
// server's answer. Waiting for the client has a time limit, which starts anew only with the next
// request or reply; the answer has none. Beyond the number of connections, the oldest one that
// waits for its client ends, of the process that has most of these. So a process that floods the
// socket ends its own connections. Another user's connections, which get 403 only, have a small
// number of their own; beyond it the new one ends.
//
// To end a connection is to shut its socket down; the thread that owns it then closes it. Safe to
// use from any thread. While no connection waits, no thread wakes up.
class ControlConnections {
 public:
  struct Limits {
    size_t connections = 256;    // of root and the server's user, together
    size_t of_another_user = 8;  // of each other user
    size_t of_other_users = 32;  // of all other users, together
    size_t answers = 224;        // requests other than GET that are answered at the same time
    std::chrono::milliseconds time{30'000};  // to send a request, and to read a reply
  };
  // Root and the server's user.
  static bool may_ask(uid_t uid);

  explicit ControlConnections(const Limits& limits);
  ~ControlConnections();
  ControlConnections(const ControlConnections&) = delete;
  ControlConnections(ControlConnections&&) = delete;
  ControlConnections& operator=(const ControlConnections&) = delete;
  ControlConnections& operator=(ControlConnections&&) = delete;

  // `socket` was accepted from `peer`; it is borrowed until remove(), which comes before its close.
  void add(int socket, const base::PeerCredentials& peer);
  void remove(int socket);
  // The request is whole. False when too many others are being answered, unless it is `cheap`.
  bool begin_answer(int socket, bool cheap);
  // The reply is ready to be sent, or was sent: it is the client's turn.
  void wait_for_client(int socket);

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr Clock::time_point kNever = Clock::time_point::max();
  struct Connection {
    base::PeerCredentials peer;
    uint64_t number;          // in the order of add()
    Clock::time_point until;  // kNever while the request is answered
    bool answers = false;     // counts in answers_
    bool ended = false;       // shut down, and not closed yet
  };
  using Connections = std::map<int, Connection>;

  void make_room(int added);
  Connections::iterator oldest_of_the_greediest();
  size_t count(const std::function<bool(const Connection&)>& counts) const;
  static void end(Connections::value_type& connection);
  void end_for_others(Connections::value_type& connection);
  void end_answer(Connection& connection);
  Clock::time_point next_end() const;
  void end_late_ones();

  const Limits limits_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Connections connections_;  // by socket
  uint64_t last_number_ = 0;
  size_t answers_ = 0;
  bool timer_sleeps_ = false;  // no time limit runs
  bool stop_ = false;
  base::LogLimit log_;
  std::thread timer_;
};

}  // namespace pager
