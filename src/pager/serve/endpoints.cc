// SPDX-License-Identifier: Apache-2.0
// Accepts connections, reads handshakes, and refuses peers.
#include "pager/serve/endpoints.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/message.h"

namespace pager {
namespace {

constexpr std::chrono::milliseconds kResume{100};

// If more connections of one endpoint than this wait to be closed, no more are accepted there.
constexpr size_t kMostClosing = 64;

// The most pending handshakes of one endpoint: one for a single VMM, which may be restarted, and
// one for many VMMs.
constexpr size_t kMostPendingOfOne = 16;
constexpr size_t kMostPendingOfMany = 256;

bool may_connect(const base::PeerCredentials& peer, const Endpoint& endpoint) {
  return peer.uid == 0 || peer.uid == ::geteuid() || peer.uid == endpoint.serving.peer_uid;
}

base::Fd open_spare() {
  return base::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

}  // namespace

Endpoints::Endpoints(int epoll, std::chrono::milliseconds handshake_timeout, Closer& closer,
                     Events events, KeeperLink* keeper)
    : epoll_(epoll),
      handshake_timeout_(handshake_timeout),
      closer_(closer),
      events_(std::move(events)),
      keeper_(keeper),
      spare_(open_spare()) {}

void Endpoints::watch(int fd, Key key) const {
  struct epoll_event event {};
  event.events = EPOLLIN;
  event.data.u64 = key;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
    base::throw_errno("cannot watch a descriptor");
  }
}

void Endpoints::unwatch(int fd) const {
  static_cast<void>(::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr));
}

void Endpoints::add(Key key, Waiting waiting) {
  waiting_.emplace(key, std::move(waiting));
}

void Endpoints::handle(Key key) {
  if (find(key) != nullptr) {
    accept_pending(key);
  } else {
    read_handshake(key);
  }
}

void Endpoints::accept_and_read(Key key) {
  accept_pending(key);
  read_pending_of(key);
}

base::Deadline Endpoints::next_deadline() const {
  base::Deadline next = resume_at_;
  if (!pending_.empty()) {
    next = std::min(next, pending_.begin()->second.deadline);  // the oldest; one timeout for all
  }
  if (!waiting_.empty()) {
    next = std::min(next, waiting_.begin()->second.deadline);
  }
  return next;
}

std::optional<Endpoints::Key> Endpoints::expired() const {
  return !waiting_.empty() && waiting_.begin()->second.deadline.passed()
             ? std::optional(waiting_.begin()->first)
             : std::nullopt;
}

void Endpoints::refuse_pending(const std::string& reason) {
  refuse_all(pending_of(0), reason);
}

void Endpoints::refuse_pending_of(Key endpoint, const std::string& reason) {
  refuse_all(pending_of(endpoint), reason);
}

Endpoints::Waiting* Endpoints::find(Key key) {
  for (std::map<Key, Waiting>* endpoints : {&waiting_, &leaving_}) {
    if (const auto found = endpoints->find(key); found != endpoints->end()) {
      return &found->second;
    }
  }
  return nullptr;
}

// A complete handshake can end the endpoint, so it is looked up each time.
void Endpoints::accept_pending(Key key) {
  while (Waiting* waiting = find(key)) {
    if (closer_.pending(key) >= kMostClosing) {
      // The next peers of this endpoint wait in the kernel. Other endpoints are not affected.
      waiting->paused = true;
      unwatch(waiting->listener.fd());
      resume_at_ = base::Deadline::after(kResume);
      return;
    }
    try {
      const Key connection = new_key();
      std::optional<base::Fd> socket = accept(*waiting, key, connection);
      if (!socket) {
        return;
      }
      admit(connection, key, std::move(*socket));
    } catch (const std::system_error& error) {
      waiting = find(key);
      if (waiting == nullptr) {
        return;
      }
      if (waiting->refusals->log.admit()) {
        base::say_warning("session " + base::quoted(waiting->endpoint.id) + ": " + error.what() +
                          waiting->refusals->log.note());
      }
      if (error.code().value() == EMFILE || error.code().value() == ENFILE) {
        accept_without_descriptors(*waiting);
      }
      return;
    }
  }
}

void Endpoints::resume_paused() {
  if (!resume_at_.passed()) {
    return;
  }
  resume_at_ = base::Deadline::never();
  for (auto& [key, waiting] : waiting_) {
    if (waiting.paused && closer_.pending(key) < kMostClosing) {
      waiting.paused = false;
      watch(waiting.listener.fd(), key);
    } else if (waiting.paused) {
      resume_at_ = base::Deadline::after(kResume);
    }
  }
}

void Endpoints::admit(Key key, Key endpoint, base::Fd socket) {
  Waiting& waiting = *find(endpoint);
  const base::PeerCredentials peer = base::peer_credentials(socket.get());
  PendingHandshake pending{.key = key,
                           .endpoint = endpoint,
                           .socket = std::move(socket),
                           .vmm = {},
                           .reader = {},
                           .deadline = base::Deadline::after(handshake_timeout_)};
  pending.vmm = Vmm::of_peer(pending.socket.get());
  if (!may_connect(peer, waiting.endpoint)) {
    refuse(std::move(pending), "this user may not connect here");
  } else if (descriptors_are_scarce(pending.socket.get())) {
    refuse(std::move(pending), "out of file descriptors (RLIMIT_NOFILE)");
  } else if (waiting.taken) {
    refuse(std::move(pending), "the session already has a VMM");
  } else {
    watch_connection(pending);
    pending_.emplace(key, std::move(pending));
    read_handshake(key);
    limit_pending(endpoint);
  }
}

// The keys of pending handshakes of one endpoint, the oldest first; of all for endpoint 0.
std::vector<Endpoints::Key> Endpoints::pending_of(Key endpoint) const {
  std::vector<Key> keys;
  for (const auto& [key, pending] : pending_) {
    if (endpoint == 0 || pending.endpoint == endpoint) {
      keys.push_back(key);
    }
  }
  return keys;
}

void Endpoints::read_pending_of(Key endpoint) {
  for (const Key key : pending_of(endpoint)) {
    read_handshake(key);
  }
}

// A connection is in pending_ until its handshake is complete. It then becomes a session or is
// refused.
void Endpoints::read_handshake(Key key) {
  auto entry = pending_.extract(key);
  if (entry.empty()) {
    return;
  }
  const Key endpoint = entry.mapped().endpoint;
  PendingHandshake& pending = entry.mapped();
  std::optional<HandshakeReader::Result> handshake;
  try {
    handshake = pending.reader.read_from(pending.socket.get());
    if (handshake) {
      events_.connect(key, pending, *handshake);
    } else {
      pending_.insert(std::move(entry));
    }
  } catch (const std::exception& error) {
    refuse(std::move(pending), error.what(), handshake ? std::move(handshake->uffd) : base::Fd());
  }
  forget_if_done(endpoint);
}

void Endpoints::replace_listener(Key key, base::UnixListener listener) {
  auto node = waiting_.extract(key);
  Waiting& old = node.mapped();
  if (!old.paused) {
    unwatch(old.listener.fd());
  }
  watch(listener.fd(), key);
  waiting_.emplace(key, Waiting{.endpoint = std::move(old.endpoint),
                                .listener = std::move(listener),
                                .deadline = old.deadline,
                                .refusals = std::move(old.refusals)});
}

// Stops listening. VMMs that have connected are afterward in pending_ or served.
void Endpoints::shut(Key endpoint) {
  auto node = waiting_.extract(endpoint);
  if (node.empty()) {
    return;
  }
  Waiting& waiting = node.mapped();
  if (waiting.state.size() > 0) {
    waiting.state.as<EndpointState>().leaving = 1;  // a successor ends it, too
  }
  events_.stopped(endpoint, waiting.endpoint);
  unwatch(waiting.listener.fd());
  waiting.listener.stop();
  leaving_.insert(std::move(node));
  accept_pending(endpoint);
  read_pending_of(endpoint);
  // Only now: closing the listener earlier would drop the connections in its queue.
  leaving_.at(endpoint).emptied = true;
  forget_if_done(endpoint);
}

void Endpoints::shut_all() {
  while (!waiting_.empty()) {
    shut(waiting_.begin()->first);
  }
}

void Endpoints::forget_if_done(Key endpoint) {
  const auto leaving = leaving_.find(endpoint);
  if (leaving != leaving_.end() && leaving->second.emptied && pending_of(endpoint).empty()) {
    drop_from_keeper(endpoint);
    closer_.take(endpoint, std::move(leaving->second));  // closes the memory file, which may block
    leaving_.erase(leaving);
  }
}

// The kernel returns the lowest free number, so a high number means that few are left. New
// connections are then refused, while existing sessions and requests about them still get
// descriptors.
bool Endpoints::descriptors_are_scarce(int fd) {
  constexpr rlim_t kReserve = 16;
  struct rlimit limit {};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
         (fd < 0 || static_cast<rlim_t>(fd) + kReserve >= limit.rlim_cur);
}

void Endpoints::refuse_when_scarce(int fd) {
  if (descriptors_are_scarce(fd)) {
    struct rlimit limit {};
    static_cast<void>(::getrlimit(RLIMIT_NOFILE, &limit));
    base::throw_error_number(
        EMFILE, "cannot accept another session: out of file descriptors (RLIMIT_NOFILE is " +
                    std::to_string(limit.rlim_cur) + ")");
  }
}

// The connection would stay in the queue and wake run() continuously, so it is accepted and closed.
void Endpoints::accept_without_descriptors(Waiting& waiting) {
  spare_.reset();
  try {
    if (std::optional<base::Fd> socket = waiting.listener.accept()) {
      closer_.take(0, std::move(*socket));
    }
  } catch (const std::system_error&) {
    // Another thread took the descriptor. The next round tries again.
  }
  spare_ = open_spare();
}

// Refuses the oldest peer. It was read and has not sent a complete handshake.
void Endpoints::limit_pending(Key endpoint) {
  Waiting* waiting = find(endpoint);
  const std::vector<Key> keys = pending_of(endpoint);
  if (waiting != nullptr &&
      keys.size() > (waiting->endpoint.many ? kMostPendingOfMany : kMostPendingOfOne)) {
    refuse_all({keys.front()}, "it did not send its handshake while many others connected");
  }
}

// `pending` is no longer in the table. `uffd` is the userfaultfd of its handshake, if that was
// complete.
void Endpoints::refuse(PendingHandshake pending, const std::string& reason, base::Fd uffd) {
  const Waiting& waiting = *find(pending.endpoint);
  const Key key = pending.key;
  RefusedPeer peer{.session = waiting.endpoint.id,
                   .refusals = waiting.refusals,
                   .on_refusal = waiting.endpoint.serving.refusal_action(),
                   .vmm = std::move(pending.vmm),
                   .socket = std::move(pending.socket),
                   .fds = pending.reader.take_fds()};
  if (uffd) {
    peer.fds.push_back(std::move(uffd));
  }
  drop(key, pending.endpoint, std::move(peer), reason);
}

void Endpoints::drop(Key key, Key endpoint, RefusedPeer peer, const std::string& reason) {
  if (peer.socket) {
    unwatch(peer.socket.get());
  }
  // If the peer's descriptors may not fit into the table, the kernel closes them during the
  // receive, which may block.
  if (descriptors_are_scarce(base::Fd(::fcntl(epoll_, F_DUPFD_CLOEXEC, 0)).get() +
                             static_cast<int>(base::kMaxReceivedFds))) {
    closer_.post(endpoint, [held = std::make_shared<RefusedPeer>(std::move(peer)), reason, key,
                            keeper = keeper_]() mutable {
      held->enforce(reason);
      if (keeper != nullptr) {
        keeper->drop(key);
      }
      held.reset();
    });
    return;
  }
  peer.enforce(reason);
  drop_from_keeper(key);
  closer_.take(endpoint, std::move(peer));
}

void Endpoints::refuse_all(const std::vector<Key>& handshakes, const std::string& reason) {
  for (const Key key : handshakes) {
    if (auto entry = pending_.extract(key); !entry.empty()) {
      const Key endpoint = entry.mapped().endpoint;
      refuse(std::move(entry.mapped()), reason);
      forget_if_done(endpoint);
    }
  }
}

void Endpoints::expire_handshakes() {
  while (!pending_.empty() && pending_.begin()->second.deadline.passed()) {
    refuse_all({pending_.begin()->first}, "no complete handshake within " +
                                              std::to_string(handshake_timeout_.count()) + " ms");
  }
}

}  // namespace pager
