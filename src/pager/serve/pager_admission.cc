// SPDX-License-Identifier: Apache-2.0
// How VMMs come to Pager: their connections, their handshakes, and the sessions that follow.
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

// How many connections of one endpoint may wait for their close before no more are accepted there.
constexpr size_t kMostClosing = 64;

bool may_connect(const base::PeerCredentials& peer, const Place& place) {
  return peer.uid == 0 || peer.uid == ::geteuid() || peer.uid == place.peer_uid;
}

}  // namespace

Pager::Waiting* Pager::place_of(Key key) {
  for (std::map<Key, Waiting>* places : {&waiting_, &leaving_}) {
    if (const auto found = places->find(key); found != places->end()) {
      return &found->second;
    }
  }
  return nullptr;
}

// A handshake that comes whole can end the place, so it is looked up each time.
void Pager::accept_from(Key key) {
  while (Waiting* waiting = place_of(key)) {
    if (closer_.pending(key) >= kMostClosing) {
      // Its next peers wait in the kernel, which costs them and nobody else.
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
      waiting = place_of(key);
      if (waiting == nullptr) {
        return;
      }
      if (waiting->refusals->log.admit()) {
        base::say_warning("session " + base::quoted(waiting->place.id) + ": " + error.what() +
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

void Pager::admit(Key place, base::Fd socket) {
  Waiting& waiting = *place_of(place);
  const base::PeerCredentials peer = base::peer_credentials(socket.get());
  Greeting greeting{.place = place,
                    .socket = std::move(socket),
                    .vmm = {},
                    .reader = {},
                    .deadline = base::Deadline::after(settings_.handshake_timeout)};
  greeting.vmm = Vmm::of_peer(greeting.socket.get());
  if (!may_connect(peer, waiting.place)) {
    refuse(std::move(greeting), "this user may not be served here");
  } else if (descriptors_are_scarce(greeting.socket.get())) {
    refuse(std::move(greeting), "too few descriptors are left (RLIMIT_NOFILE)");
  } else if (waiting.taken) {
    refuse(std::move(greeting), "the session has its VMM");
  } else {
    const Key key = next_key_++;
    watch(greeting.socket.get(), key);
    greetings_.emplace(key, std::move(greeting));
    read_greeting(key);
    limit_greetings(place);
  }
}

// Of one place, the oldest first; of all for place 0.
std::vector<Pager::Key> Pager::greetings_of(Key place) const {
  std::vector<Key> keys;
  for (const auto& [key, greeting] : greetings_) {
    if (place == 0 || greeting.place == place) {
      keys.push_back(key);
    }
  }
  return keys;
}

void Pager::read_greetings_of(Key place) {
  for (const Key key : greetings_of(place)) {
    read_greeting(key);
  }
}

// A connection is in greetings_ until its handshake is whole; then it becomes a session, or ends.
void Pager::read_greeting(Key key) {
  auto entry = greetings_.extract(key);
  if (entry.empty()) {
    return;
  }
  const Key place = entry.mapped().place;
  Greeting& greeting = entry.mapped();
  std::optional<HandshakeReader::Result> handshake;
  try {
    handshake = greeting.reader.read_from(greeting.socket.get());
    if (handshake) {
      connect(key, greeting, *handshake);
    } else {
      greetings_.insert(std::move(entry));
    }
  } catch (const std::exception& error) {
    refuse(std::move(greeting), error.what(), handshake ? std::move(handshake->uffd) : base::Fd());
  }
  forget_if_done(place);
}

ServingPlan Pager::plan_for(Place& place, const std::string& session_id) {
  ServingPlan plan{.image = place.image,
                   .hot = place.hot,
                   .hot_refused = place.hot_refused,
                   .on_failure = place.on_failure,
                   .read_attempts = place.read_attempts};
  if (!place.trace_path.empty() && !(place.many && place.traced)) {
    plan.trace.emplace(place.trace_path);
    place.traced = true;
  } else if (!place.trace_path.empty() && place.trace_path != "-") {
    plan.trace.emplace(place.trace_path + "." + session_id);
  }
  plan.window = place.window.value_or(plan.trace ? Window::fixed(1) : Window::automatic());
  return plan;
}

// Throws only while both are whole.
void Pager::connect(Key key, Greeting& greeting, HandshakeReader::Result& handshake) {
  Waiting* waiting = place_of(greeting.place);
  Place& place = waiting->place;
  const bool leaving = leaving_.contains(greeting.place);
  std::string id = place.many ? std::to_string(++many_count_) : place.id;
  if (ids_.contains(id) && ids_.at(id) != greeting.place) {
    id = free_old_id(id, key);  // another session has it by now
  }
  static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, greeting.socket.get(), nullptr));
  std::optional<std::string> problem = hot::layout_problem(handshake.regions, place.image->size());
  if (waiting->taken) {
    problem = "the session has its VMM";
  } else if (problem) {
    problem = "the handshake does not fit " + base::quoted(place.image->path()) + ": " + *problem;
  }
  if (problem) {
    refuse(std::move(greeting), *problem, std::move(handshake.uffd));
    return;
  }
  RefusedPeer otherwise{.session = id,
                        .refusals = waiting->refusals,
                        .on_refusal = place.on_refusal,
                        .vmm = greeting.vmm.duplicate(),
                        .sent_userfaultfd = true};
  Connected connected{.id = id,
                      .instance_id = place.instance_id,
                      .cache_key = place.cache_key,
                      .socket_path = place.socket_path,
                      .closing = leaving && !draining_,
                      .refusals = waiting->refusals,
                      .session = nullptr};
  // Before the first fault is answered, so that a server that is killed has always left it.
  record(key, id, {.pid = greeting.vmm.pid(), .start_time = greeting.vmm.start_time()});
  const int cannot_kill = greeting.vmm.cannot_kill();  // the session's thread closes the pidfd
  try {
    connected.session = std::make_unique<Session>(id, plan_for(place, id), std::move(handshake),
                                                  std::move(greeting.socket),
                                                  std::move(greeting.vmm), notify_.get());
  } catch (const std::exception& error) {
    unrecorded_.erase(key);
    records_.remove(id);
    drop(greeting.place, std::move(otherwise), error.what());
    return;
  }
  const Session& session = *connected.session;
  session.log().detail("connected, " + std::to_string(session.regions().size()) +
                       (session.regions().size() == 1 ? " region of " : " regions of ") +
                       base::quoted(place.image->path()));
  if (cannot_kill != 0 && cannot_kill != ESRCH) {
    session.log().warn("this VMM cannot be ended by the server (" +
                       std::generic_category().message(cannot_kill) +
                       "): should it have to be, its guest hangs");
  }
  connected_.emplace(key, std::move(connected));
  had_session_ = true;
  if (!place.many) {
    // A second VMM is refused: by the kernel from now on.
    waiting->taken = true;
    shut(greeting.place);
    refuse_all(greetings_of(greeting.place), "the session has its VMM");
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

// On a run directory that was full, of those that are served still.
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

// From now on no VMM can connect there. Those that have connected are in greetings_ then, or
// served.
void Pager::shut(Key place) {
  auto node = waiting_.extract(place);
  if (node.empty()) {
    return;
  }
  Waiting& waiting = node.mapped();
  if (const auto entry = ids_.find(waiting.place.id);
      entry != ids_.end() && entry->second == place) {
    ids_.erase(entry);
  }
  static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, waiting.listener.fd(), nullptr));
  waiting.listener.stop();
  leaving_.insert(std::move(node));
  accept_from(place);
  read_greetings_of(place);
  leaving_.at(place).emptied =
      true;  // not before: closing a listener drops the connections in its queue
  forget_if_done(place);
}

void Pager::shut_all() {
  while (!waiting_.empty()) {
    shut(waiting_.begin()->first);
  }
}

void Pager::forget_if_done(Key place) {
  const auto leaving = leaving_.find(place);
  if (leaving != leaving_.end() && leaving->second.emptied && greetings_of(place).empty()) {
    closer_.take(place, std::move(leaving->second));  // the memory file, for one
    leaving_.erase(leaving);
  }
}

// The oldest places first. Peers that have connected keep the time of a handshake.
void Pager::close_late_places() {
  const std::lock_guard lock(mutex_);
  while (!waiting_.empty() && waiting_.begin()->second.deadline.passed()) {
    const Key key = waiting_.begin()->first;
    const std::string id = waiting_.begin()->second.place.id;
    shut(key);
    if (!ids_.contains(id) && greetings_of(key).empty()) {
      base::say_warning("session " + base::quoted(id) + ": closed: no VMM has connected within " +
                        std::to_string(settings_.connect_timeout.count()) + " ms");
    }
  }
}

}  // namespace pager
