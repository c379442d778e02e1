// SPDX-License-Identifier: Apache-2.0
// Limits of a control socket: the number of connections, and the time that each may take.
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

// A connection waits either for its client (for a complete request, or until a reply is read) or
// for the server's answer. Waiting for the client has a time limit, which restarts only with the
// next request or reply. The answer has no limit. If there are too many connections, the server
// ends the oldest one that waits for its client, of the process that has the most of these. So a
// process that floods the socket loses its own connections. Connections of other users, which only
// get 403, have a small separate limit; beyond it the new connection ends.
//
// Ending a connection shuts its socket down; the thread that owns the socket then closes it.
// Thread-safe. While no connection waits, no thread wakes up.
class ControlConnections {
 public:
  struct Limits {
    size_t connections = 256;                // of root and the server's user, together
    size_t of_another_user = 8;              // of each other user
    size_t of_other_users = 32;              // of all other users, together
    size_t answers = 224;                    // concurrent requests other than GET
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

  // `socket` was accepted from `peer`. It is borrowed until remove(); call that before closing it.
  void add(int socket, const base::PeerCredentials& peer);
  void remove(int socket);
  // Call it when the request is complete. Returns false if too many other requests are being
  // answered; never for a `cheap` one.
  bool begin_answer(int socket, bool cheap);
  // Call it when the reply is ready or sent: the client must act next.
  void wait_for_client(int socket);

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr Clock::time_point kNever = Clock::time_point::max();
  struct Connection {
    base::PeerCredentials peer;
    uint64_t number;          // in the order of add()
    Clock::time_point until;  // kNever while the request is answered
    bool answers = false;     // counts in answers_
    bool ended = false;       // shut down, but not closed yet
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
  bool timer_sleeps_ = false;  // no time limit is active
  bool stop_ = false;
  base::LogLimit log_;
  std::thread timer_;
};

}  // namespace pager
