// SPDX-License-Identifier: Apache-2.0
// Pager: accepts connections, reads handshakes, and creates sessions.
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/message.h"
#include "pager/serve/pager.h"

namespace pager {
namespace {

constexpr std::chrono::seconds kRecordAgain{1};
constexpr std::chrono::milliseconds kResume{100};

// If more connections of one endpoint than this wait to be closed, no more are accepted there.
constexpr size_t kMostClosing = 64;

bool may_connect(const base::PeerCredentials& peer, const Endpoint& endpoint) {
  return peer.uid == 0 || peer.uid == ::geteuid() || peer.uid == endpoint.serving.peer_uid;
}

}  // namespace

Pager::Waiting* Pager::endpoint_of(Key key) {
  for (std::map<Key, Waiting>* endpoints : {&waiting_, &leaving_}) {
    if (const auto found = endpoints->find(key); found != endpoints->end()) {
      return &found->second;
    }
  }
  return nullptr;
}

// A complete handshake can end the endpoint, so it is looked up each time.
void Pager::accept_pending(Key key) {
  while (Waiting* waiting = endpoint_of(key)) {
    if (closer_.pending(key) >= kMostClosing) {
      // The next peers of this endpoint wait in the kernel. Other endpoints are not affected.
      waiting->paused = true;
      static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, waiting->listener.fd(), nullptr));
      resume_at_ = base::Deadline::after(kResume);
      return;
    }
    try {
      std::optional<base::Fd> socket = waiting->listener.accept();
      if (!socket) {
        return;
      }
      admit(key, std::move(*socket));
    } catch (const std::system_error& error) {
      waiting = endpoint_of(key);
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

void Pager::resume_paused() {
  const std::lock_guard lock(mutex_);
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

void Pager::admit(Key endpoint, base::Fd socket) {
  Waiting& waiting = *endpoint_of(endpoint);
  const base::PeerCredentials peer = base::peer_credentials(socket.get());
  PendingHandshake pending{.endpoint = endpoint,
                           .socket = std::move(socket),
                           .vmm = {},
                           .reader = {},
                           .deadline = base::Deadline::after(settings_.handshake_timeout)};
  pending.vmm = Vmm::of_peer(pending.socket.get());
  if (!may_connect(peer, waiting.endpoint)) {
    refuse(std::move(pending), "this user may not connect here");
  } else if (descriptors_are_scarce(pending.socket.get())) {
    refuse(std::move(pending), "out of file descriptors (RLIMIT_NOFILE)");
  } else if (waiting.taken) {
    refuse(std::move(pending), "the session already has a VMM");
  } else {
    const Key key = next_key_++;
    watch(pending.socket.get(), key);
    pending_.emplace(key, std::move(pending));
    read_handshake(key);
    limit_pending(endpoint);
  }
}

// The keys of pending handshakes of one endpoint, the oldest first; of all for endpoint 0.
std::vector<Pager::Key> Pager::pending_of(Key endpoint) const {
  std::vector<Key> keys;
  for (const auto& [key, pending] : pending_) {
    if (endpoint == 0 || pending.endpoint == endpoint) {
      keys.push_back(key);
    }
  }
  return keys;
}

void Pager::read_pending_of(Key endpoint) {
  for (const Key key : pending_of(endpoint)) {
    read_handshake(key);
  }
}

// A connection is in pending_ until its handshake is complete. It then becomes a session or is
// refused.
void Pager::read_handshake(Key key) {
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
      connect(key, pending, *handshake);
    } else {
      pending_.insert(std::move(entry));
    }
  } catch (const std::exception& error) {
    refuse(std::move(pending), error.what(), handshake ? std::move(handshake->uffd) : base::Fd());
  }
  forget_if_done(endpoint);
}

ServingPlan Pager::plan_for(Endpoint& endpoint, const std::string& session_id) {
  ServingPlan plan{.image = endpoint.image,
                   .hot = endpoint.hot,
                   .hot_refused = endpoint.hot_refused,
                   .serving = endpoint.serving};
  const std::string& trace = endpoint.serving.trace_path;
  if (!trace.empty() && !(endpoint.many && endpoint.traced)) {
    plan.trace.emplace(trace);
    endpoint.traced = true;
  } else if (!trace.empty() && trace != "-") {
    plan.trace.emplace(trace + "." + session_id);
  }
  return plan;
}

// If it throws, `pending` and `handshake` are unchanged.
void Pager::connect(Key key, PendingHandshake& pending, HandshakeReader::Result& handshake) {
  Waiting* waiting = endpoint_of(pending.endpoint);
  Endpoint& endpoint = waiting->endpoint;
  const bool leaving = leaving_.contains(pending.endpoint);
  std::string id = endpoint.many ? std::to_string(++many_count_) : endpoint.id;
  if (ids_.contains(id) && ids_.at(id) != pending.endpoint) {
    id = free_old_id(id, key);  // another session has it now
  }
  static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, pending.socket.get(), nullptr));
  std::optional<std::string> problem =
      hot::layout_problem(handshake.regions, endpoint.image->size());
  if (waiting->taken) {
    problem = "the session already has a VMM";
  } else if (problem) {
    problem =
        "the handshake does not fit " + base::quoted(endpoint.image->path()) + ": " + *problem;
  }
  if (problem) {
    refuse(std::move(pending), *problem, std::move(handshake.uffd));
    return;
  }
  RefusedPeer otherwise{.session = id,
                        .refusals = waiting->refusals,
                        .on_refusal = endpoint.serving.refusal_action(),
                        .vmm = pending.vmm.duplicate(),
                        .sent_userfaultfd = true};
  Connected connected{.id = id,
                      .instance_id = endpoint.instance_id,
                      .cache_key = endpoint.cache_key,
                      .socket_path = endpoint.socket_path,
                      .closing = leaving && !draining_,
                      .refusals = waiting->refusals,
                      .session = nullptr};
  // The record is written before the first fault is answered, so it always exists if the server is
  // killed.
  record(key, id, {.pid = pending.vmm.pid(), .start_time = pending.vmm.start_time()});
  const int cannot_kill = pending.vmm.cannot_kill();  // the session's thread closes the pidfd
  try {
    connected.session =
        std::make_unique<Session>(id, plan_for(endpoint, id), std::move(handshake),
                                  std::move(pending.socket), std::move(pending.vmm), notify_.get());
  } catch (const std::exception& error) {
    unrecorded_.erase(key);
    records_.remove(id);
    drop(pending.endpoint, std::move(otherwise), error.what());
    return;
  }
  const Session& session = *connected.session;
  session.log().detail("connected, " + std::to_string(session.regions().size()) +
                       (session.regions().size() == 1 ? " region of " : " regions of ") +
                       base::quoted(endpoint.image->path()));
  if (cannot_kill != 0 && cannot_kill != ESRCH) {
    session.log().warn("the server cannot kill this VMM (" +
                       std::generic_category().message(cannot_kill) +
                       "); if the VMM has to be killed, its guest hangs instead");
  }
  connected_.emplace(key, std::move(connected));
  had_session_ = true;
  if (!endpoint.many) {
    // From now on the kernel refuses a second VMM.
    waiting->taken = true;
    shut(pending.endpoint);
    refuse_all(pending_of(pending.endpoint), "the session already has a VMM");
  }
  ids_[id] = key;
}

void Pager::record(Key key, const std::string& id, VmmRecords::Record vmm) {
  if (records_.write(id, vmm)) {
    unrecorded_.erase(key);
  } else {
    unrecorded_.insert(key);
    record_again_ = base::Deadline::after(kRecordAgain);
  }
}

// Writes the records that could not be written, because the run directory was full, of sessions
// that are still served.
void Pager::record_again() {
  const std::lock_guard lock(mutex_);
  if (!record_again_.passed()) {
    return;
  }
  record_again_ = base::Deadline::never();
  const std::set<Key> keys = unrecorded_;
  for (const Key key : keys) {
    const Connected& connected = connected_.at(key);
    record(
        key, connected.id,
        {.pid = connected.session->vmm_pid(), .start_time = connected.session->vmm_start_time()});
  }
}

// Stops listening. VMMs that have connected are afterward in pending_ or served.
void Pager::shut(Key endpoint) {
  auto node = waiting_.extract(endpoint);
  if (node.empty()) {
    return;
  }
  Waiting& waiting = node.mapped();
  if (const auto entry = ids_.find(waiting.endpoint.id);
      entry != ids_.end() && entry->second == endpoint) {
    ids_.erase(entry);
  }
  static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, waiting.listener.fd(), nullptr));
  waiting.listener.stop();
  leaving_.insert(std::move(node));
  accept_pending(endpoint);
  read_pending_of(endpoint);
  // Only now: closing the listener earlier would drop the connections in its queue.
  leaving_.at(endpoint).emptied = true;
  forget_if_done(endpoint);
}

void Pager::shut_all() {
  while (!waiting_.empty()) {
    shut(waiting_.begin()->first);
  }
}

void Pager::forget_if_done(Key endpoint) {
  const auto leaving = leaving_.find(endpoint);
  if (leaving != leaving_.end() && leaving->second.emptied && pending_of(endpoint).empty()) {
    closer_.take(endpoint, std::move(leaving->second));  // closes the memory file, which may block
    leaving_.erase(leaving);
  }
}

// The oldest endpoints first. Peers that have connected may still finish their handshake.
void Pager::expire_endpoints() {
  const std::lock_guard lock(mutex_);
  while (!waiting_.empty() && waiting_.begin()->second.deadline.passed()) {
    const Key key = waiting_.begin()->first;
    const std::string id = waiting_.begin()->second.endpoint.id;
    shut(key);
    if (!ids_.contains(id) && pending_of(key).empty()) {
      base::say_warning("session " + base::quoted(id) + ": closed: no VMM connected within " +
                        std::to_string(settings_.connect_timeout.count()) + " ms");
    }
  }
}

}  // namespace pager
