// How VMMs come to Pager: their connections, their handshakes, and the sessions that follow.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/message.h"
#include "pager/pager.h"

namespace pager {
namespace {

constexpr std::chrono::seconds kRecordAgain{1};

bool may_connect(const base::PeerCredentials& peer, const Place& place) {
  return peer.uid == 0 || peer.uid == ::geteuid() || peer.uid == place.peer_uid;
}

void log_refusal(const std::string& place_id, const std::string& why) {
  base::say_warning("session " + base::quoted(place_id) + ": connection refused: " + why);
}

}  // namespace

base::Fd Pager::open_spare() {
  return base::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

// Numbers are given out from below, so a high one means that few are left: what is new is refused
// while those that are there, and requests about them, still get theirs.
void Pager::refuse_when_scarce(int fd) {
  constexpr rlim_t kReserve = 16;
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
      (fd < 0 || static_cast<rlim_t>(fd) + kReserve >= limit.rlim_cur)) {
    base::throw_error_number(EMFILE, "no more sessions: " + std::to_string(limit.rlim_cur) +
                                         " descriptors (RLIMIT_NOFILE) are too few");
  }
}

void Pager::accept_from(Key key, Waiting& waiting) {
  try {
    while (std::optional<base::Fd> socket = waiting.listener.accept()) {
      admit(key, waiting.place, std::move(*socket));
    }
  } catch (const std::system_error& error) {
    log_refusal(waiting.place.id, error.what());
    if (error.code().value() == EMFILE || error.code().value() == ENFILE) {
      accept_without_descriptors(waiting);
    }
  }
}

// The connection would stay in the queue and wake us for ever; so it is taken and closed.
void Pager::accept_without_descriptors(Waiting& waiting) {
  spare_.reset();
  try {
    static_cast<void>(waiting.listener.accept());
  } catch (const std::system_error&) {
    // Somebody else took the number; the next round tries again.
  }
  spare_ = open_spare();
}

void Pager::admit(Key place, const Place& of, base::Fd socket) {
  const base::PeerCredentials peer = base::peer_credentials(socket.get());
  if (!may_connect(peer, of)) {
    log_refusal(of.id, "process " + std::to_string(peer.pid) + " of user " +
                           std::to_string(peer.uid) + " may not be served here");
    return;
  }
  refuse_when_scarce(socket.get());
  Vmm vmm = Vmm::of_peer(socket.get());
  const Key key = next_key_++;
  watch(socket.get(), key);
  greetings_.emplace(key, Greeting{.place = place,
                                   .place_id = of.id,
                                   .socket = std::move(socket),
                                   .vmm = std::move(vmm),
                                   .reader = {},
                                   .deadline = base::Deadline::after(settings_.handshake_timeout)});
}

// A connection is in greetings_ until its handshake is whole; then it becomes a session, or ends.
void Pager::read_greeting(Key key) {
  auto entry = greetings_.extract(key);
  if (entry.empty()) {
    return;
  }
  Greeting& greeting = entry.mapped();
  const std::string place_id = greeting.place_id;
  try {
    std::optional<HandshakeReader::Result> handshake =
        greeting.reader.read_from(greeting.socket.get());
    if (handshake) {
      connect(key, std::move(greeting), std::move(*handshake));
    } else {
      greetings_.insert(std::move(entry));
    }
  } catch (const std::exception& error) {
    log_refusal(place_id, error.what());
  }
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

void Pager::connect(Key key, Greeting greeting, HandshakeReader::Result handshake) {
  Place& place = waiting_.at(greeting.place).place;
  const std::string id = place.many ? std::to_string(++many_count_) : place.id;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, greeting.socket.get(), nullptr);
  if (const auto problem = layout_problem(handshake.regions, place.image->size())) {
    throw base::BadData("the handshake does not fit " + base::quoted(place.image->path()) + ": " +
                        *problem);
  }
  ServingPlan plan = plan_for(place, id);
  // Before the first fault is answered, so that a server that is killed has always left it.
  record(key, id, greeting.vmm);
  const auto connected = connected_
                             .emplace(key, Connected{.id = id,
                                                     .instance_id = place.instance_id,
                                                     .cache_key = place.cache_key,
                                                     .socket_path = place.socket_path,
                                                     .closing = false,
                                                     .session = nullptr})
                             .first;
  try {
    connected->second.session = std::make_unique<Session>(id, std::move(plan), std::move(handshake),
                                                          std::move(greeting.socket),
                                                          std::move(greeting.vmm), notify_.get());
  } catch (...) {
    connected_.erase(connected);
    unrecorded_.erase(key);
    records_.remove(id);
    throw;
  }
  had_session_ = true;
  connected->second.session->log().detail(
      "connected, " + std::to_string(connected->second.session->regions().size()) + " regions of " +
      base::quoted(place.image->path()));
  ids_[id] = key;
  if (!place.many) {
    // Nobody else may come: a second VMM is refused by the kernel instead of waiting for ever.
    remove_place(greeting.place);
  }
}

void Pager::record(Key key, const std::string& id, const Vmm& vmm) {
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
    record(key, connected.id, connected.session->vmm());
  }
}

// Ends a place, and the connections to it whose handshake is not whole.
void Pager::remove_place(Key place) {
  waiting_.erase(place);
  std::erase_if(greetings_, [&](const auto& entry) { return entry.second.place == place; });
}

void Pager::drop_late_greetings() {
  const std::lock_guard lock(mutex_);
  while (!greetings_.empty() && greetings_.begin()->second.deadline.passed()) {
    const auto late = greetings_.begin();
    log_refusal(
        late->second.place_id,
        "no whole handshake within " + std::to_string(settings_.handshake_timeout.count()) + " ms");
    greetings_.erase(late);
  }
}

// The oldest places first. Who is about to say hello has the time that a handshake has.
void Pager::close_late_places() {
  const std::lock_guard lock(mutex_);
  while (!waiting_.empty() && waiting_.begin()->second.deadline.passed()) {
    const Key key = waiting_.begin()->first;
    take_who_has_come(key);
    const auto late = waiting_.find(key);
    if (late == waiting_.end()) {
      continue;
    }
    const auto greeting =
        std::ranges::find(greetings_, key, [](const auto& entry) { return entry.second.place; });
    if (greeting != greetings_.end()) {
      late->second.deadline = greeting->second.deadline;
      return;
    }
    base::say_warning("session " + base::quoted(late->second.place.id) +
                      ": closed: no VMM has connected within " +
                      std::to_string(settings_.connect_timeout.count()) + " ms");
    ids_.erase(late->second.place.id);
    remove_place(key);
  }
}

// A VMM that has connected and said hello counts, though nobody may have looked yet: dropped now,
// it would hang in its first fault. With luck this makes a session of the place, and ids_ says so.
void Pager::take_who_has_come(Key place) {
  const auto waiting = waiting_.find(place);
  if (waiting == waiting_.end()) {
    return;
  }
  accept_from(place, waiting->second);
  std::vector<Key> keys;
  for (const auto& [key, greeting] : greetings_) {
    if (greeting.place == place) {
      keys.push_back(key);
    }
  }
  for (const Key key : keys) {
    read_greeting(key);  // the first that is served ends the place, and the others with it
  }
}

}  // namespace pager
