// SPDX-License-Identifier: Apache-2.0
// Endpoints: connections that survive the death of the server.
#include <sys/epoll.h>

#include <cerrno>
#include <utility>

#include "base/error.h"
#include "pager/serve/endpoints.h"

namespace pager {

// With a keeper, the keeper accepts, so that this process alone never has the connection.
std::optional<base::Fd> Endpoints::accept(const Waiting& waiting, Key endpoint, Key key) {
  if (keeper_ != nullptr) {
    if (std::optional<KeeperLink::Accepted> accepted = keeper_->accept(endpoint, key)) {
      if (accepted->socket) {
        return std::move(accepted->socket);
      }
      if (accepted->error == EAGAIN || accepted->error == ECONNABORTED ||
          accepted->error == EINVAL) {  // EINVAL: after UnixListener::stop
        return std::nullopt;
      }
      if (accepted->error != EBADF) {  // EBADF: the keeper could not hold this endpoint
        base::throw_error_number(accepted->error,
                                 "cannot accept on " + base::quoted(waiting.listener.path()));
      }
    }
  }
  return waiting.listener.accept();
}

void Endpoints::drop_from_keeper(Key key) {
  if (keeper_ != nullptr) {
    keeper_->drop(key);
  }
}

void Endpoints::adopt_connection(Key key, Key endpoint, base::Fd socket) {
  if (find(endpoint) == nullptr) {
    drop_from_keeper(key);
    return;
  }
  admit(key, endpoint, std::move(socket));
}

// What a handshake leaves in the queue stays readable, so only new data must wake the server.
void Endpoints::watch_connection(PendingHandshake& pending) const {
  struct epoll_event event {};
  event.events = EPOLLIN;
  event.data.u64 = pending.key;
  if (keeper_ != nullptr) {
    pending.reader.leave_in_queue(pending.socket.get());
    event.events |= EPOLLET;
  }
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, pending.socket.get(), &event) != 0) {
    base::throw_errno("cannot watch a descriptor");
  }
}

}  // namespace pager
