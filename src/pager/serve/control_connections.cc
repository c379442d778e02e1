// SPDX-License-Identifier: Apache-2.0
// Tracks the connections of a control socket and ends those beyond a limit.
#include "pager/serve/control_connections.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/message.h"

namespace pager {

bool ControlConnections::may_ask(uid_t uid) {
  return uid == 0 || uid == ::geteuid();
}

ControlConnections::ControlConnections(const Limits& limits)
    : limits_(limits), timer_([this] { end_late_ones(); }) {
  ::pthread_setname_np(timer_.native_handle(), "control-time");
}

ControlConnections::~ControlConnections() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  timer_.join();
}

void ControlConnections::add(int socket, const base::PeerCredentials& peer) {
  const std::lock_guard lock(mutex_);
  connections_[socket] = {
      .peer = peer, .number = ++last_number_, .until = Clock::now() + limits_.time};
  make_room(socket);
  if (timer_sleeps_) {
    changed_.notify_all();
  }
}

void ControlConnections::remove(int socket) {
  const std::lock_guard lock(mutex_);
  if (const auto found = connections_.find(socket); found != connections_.end()) {
    end_answer(found->second);
    connections_.erase(found);
  }
}

bool ControlConnections::begin_answer(int socket, bool cheap) {
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(socket);
  if (found == connections_.end() || (!cheap && answers_ >= limits_.answers)) {
    return false;
  }
  found->second.until = kNever;
  found->second.answers = !cheap;
  answers_ += cheap ? 0 : 1;
  return true;
}

void ControlConnections::wait_for_client(int socket) {
  const std::lock_guard lock(mutex_);
  if (const auto found = connections_.find(socket); found != connections_.end()) {
    end_answer(found->second);
    found->second.until = Clock::now() + limits_.time;
    if (timer_sleeps_) {
      changed_.notify_all();
    }
  }
}

void ControlConnections::end_answer(Connection& connection) {
  answers_ -= connection.answers ? 1 : 0;
  connection.answers = false;
}

size_t ControlConnections::count(const std::function<bool(const Connection&)>& counts) const {
  return static_cast<size_t>(std::ranges::count_if(connections_, [&](const auto& entry) {
    return !entry.second.ended && counts(entry.second);
  }));
}

void ControlConnections::make_room(int added) {
  const auto connection = connections_.find(added);
  const uid_t uid = connection->second.peer.uid;
  if (may_ask(uid)) {
    if (count([](const Connection& other) { return may_ask(other.peer.uid); }) >
        limits_.connections) {
      const auto greediest = oldest_of_the_greediest();
      end_for_others(greediest == connections_.end() ? *connection : *greediest);
    }
    return;
  }
  const size_t of_user = count([uid](const Connection& other) { return other.peer.uid == uid; });
  const size_t of_others = count([](const Connection& other) { return !may_ask(other.peer.uid); });
  if (of_user > limits_.of_another_user || of_others > limits_.of_other_users) {
    end_for_others(*connection);
  }
}

// Considers connections of root and the server's user that wait for their client.
ControlConnections::Connections::iterator ControlConnections::oldest_of_the_greediest() {
  const auto may_end = [](const Connection& connection) {
    return !connection.ended && connection.until != kNever && may_ask(connection.peer.uid);
  };
  std::map<pid_t, size_t> counts;
  for (const auto& [socket, connection] : connections_) {
    counts[connection.peer.pid] += may_end(connection) ? 1 : 0;
  }
  auto found = connections_.end();
  for (auto entry = connections_.begin(); entry != connections_.end(); ++entry) {
    if (!may_end(entry->second)) {
      continue;
    }
    const size_t has = counts[entry->second.peer.pid];
    const size_t most = found == connections_.end() ? 0 : counts[found->second.peer.pid];
    if (has > most || (has == most && entry->second.number < found->second.number)) {
      found = entry;
    }
  }
  return found;
}

void ControlConnections::end(Connections::value_type& connection) {
  static_cast<void>(::shutdown(connection.first, SHUT_RDWR));
  connection.second.ended = true;
  connection.second.until = kNever;
}

void ControlConnections::end_for_others(Connections::value_type& connection) {
  end(connection);
  if (log_.admit()) {
    base::say_warning("too many control connections: closed one of process " +
                      std::to_string(connection.second.peer.pid) + " of user " +
                      std::to_string(connection.second.peer.uid) + log_.note());
  }
}

ControlConnections::Clock::time_point ControlConnections::next_end() const {
  Clock::time_point next = kNever;
  for (const auto& [socket, connection] : connections_) {
    next = std::min(next, connection.until);
  }
  return next;
}

// All limits have the same length, so a limit that starts later ends later. The timer is woken only
// if no limit was active.
void ControlConnections::end_late_ones() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    const Clock::time_point next = next_end();
    timer_sleeps_ = next == kNever;
    if (timer_sleeps_) {
      changed_.wait(lock);
    } else if (changed_.wait_until(lock, next) == std::cv_status::timeout) {
      for (auto& connection : connections_) {
        if (connection.second.until <= Clock::now()) {
          end(connection);
        }
      }
    }
  }
}

}  // namespace pager
