// SPDX-License-Identifier: Apache-2.0
// Pager: what it gives to the keeper, and how it continues what earlier servers gave to it.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/message.h"
#include "base/notify_socket.h"
#include "pager/kernel/clock.h"
#include "pager/kernel/event_fd.h"
#include "pager/serve/kept_text.h"
#include "pager/serve/pager.h"

namespace pager {

void Pager::hold_service(base::FileId control) {
  service().control = control;
  give_service();
}

bool Pager::hold_session(Key key, Key endpoint, const Image& image,
                         const Session::Handles& handles) {
  if (settings_.keeper == nullptr) {
    return true;
  }
  std::array<int, KeepMessage::kMostFds> fds{};
  fds[kept::kState] = handles.state->file();
  fds[kept::kImage] = image.fd();
  fds[kept::kUffd] = handles.uffd.get();
  fds[kept::kSocket] = handles.socket.get();
  fds[kept::kPidfd] = handles.vmm.pidfd();
  const size_t count = handles.vmm.pidfd() >= 0 ? fds.size() : fds.size() - 1;
  return settings_.keeper->hold(Kept::session, key, endpoint, std::span(fds).first(count));
}

// Makes the state of an endpoint, and gives its descriptors to the keeper.
void Pager::hold_endpoint(Key key, Waiting& waiting) {
  if (settings_.keeper == nullptr) {
    return;
  }
  const std::string text = compose_kept_text(waiting.endpoint);
  const size_t bytes = sizeof(EndpointState) + text.size();
  waiting.state = SharedMemory(state_files_.create(key, StateFiles::kEndpoint, bytes), bytes);
  auto& state = waiting.state.as<EndpointState>();
  state.version = EndpointState::kVersion;
  state.text_bytes = static_cast<uint32_t>(text.size());
  std::ranges::copy(text, waiting.state.after<EndpointState>());
  state.socket = waiting.listener.file();
  if (!waiting.deadline.is_never()) {
    state.deadline_ns =
        monotonic_ns() + static_cast<uint64_t>(settings_.connect_timeout.count()) * kMillisecond;
  }
  if (base::NotifySocket().exists()) {
    // A service manager stores only one descriptor of an open file, and endpoints share images.
    waiting.kept_image =
        base::Fd(::open(("/proc/self/fd/" + std::to_string(waiting.endpoint.image->fd())).c_str(),
                        O_RDONLY | O_CLOEXEC));
  }
  give_endpoint(key, waiting);
}

void Pager::let_go(Key key) {
  if (settings_.keeper != nullptr) {
    settings_.keeper->drop(key);
  }
  state_files_.remove(key, StateFiles::kSession);  // without a keeper: of one that was recovered
}

// Guests come first: they may wait for their next page.
void Pager::adopt(HeldThings things, Prepared& prepared) {
  const std::lock_guard lock(mutex_);
  adopt_service(things);
  std::set<Key> taken;  // endpoints whose VMM is connected
  for (auto& [key, thing] : things) {
    endpoints_.set_next_key(std::max(endpoints_.next_key(), key + 1));
    if (thing.kind == Kept::session) {
      adopt_session(key, thing, prepared, Holding::already);
      taken.insert(thing.parent);
    }
  }
  std::vector<Key> leaving;
  for (auto& [key, thing] : things) {
    if (thing.kind == Kept::endpoint && adopt_endpoint(key, thing, prepared, taken.contains(key))) {
      leaving.push_back(key);
    }
  }
  for (auto& [key, thing] : things) {
    if (thing.kind == Kept::connection) {
      endpoints_.adopt_connection(key, thing.parent, std::move(thing.fds.at(0)));
    }
  }
  // The server before this one was about to do this.
  for (const Key key : leaving) {
    endpoints_.shut(key);
  }
  signal_event(notify_.get());  // if no session has to be waited for
}

void Pager::recover(Recovery recovery, Prepared& prepared) {
  {
    const std::lock_guard lock(mutex_);
    endpoints_.set_next_key(std::max(endpoints_.next_key(), recovery.last_key + 1));
    for (auto& [key, thing] : recovery.sessions) {
      adopt_session(key, thing, prepared, Holding::not_yet);
    }
    service().recovered += connected_.size();
  }
  for (Endpoint& endpoint : recovery.endpoints) {
    const std::string id = endpoint.id;
    try {
      open(std::move(endpoint));
    } catch (const Occupied&) {
      // Its VMM is connected.
    } catch (const std::exception& error) {
      base::say_warning("session " + base::quoted(id) + ": closed: " + error.what());
    }
  }
  signal_event(notify_.get());
}

void Pager::adopt_service(HeldThings& things) {
  const auto found = things.find(kServiceKey);
  if (found == things.end() || found->second.kind != Kept::service) {
    return;
  }
  service_ = adopt_service_state(std::move(found->second.fds.at(kept::kServiceState)));
}

void Pager::adopt_session(Key key, HeldThing& thing, Prepared& prepared, Holding holding) {
  Vmm vmm = Vmm::of_pidfd(thing.fds.size() > kept::kPidfd ? std::move(thing.fds[kept::kPidfd])
                                                          : base::Fd());
  try {
    PreparedThing ready = prepared.take(key, thing);
    SessionState& state = ready.state->state();
    const std::string id = state.id.data();
    vmm.set_identity(state.vmm_pid, state.vmm_start_time);
    Endpoint& endpoint = ready.text.endpoint;
    ServingPlan plan{.image = ready.image, .hot = nullptr, .serving = endpoint.serving};
    if (const std::string trace(state.trace.view()); !trace.empty()) {
      plan.trace.emplace(trace);
    }
    Connected connected{.id = id,
                        .instance_id = endpoint.instance_id,
                        .cache_key = endpoint.cache_key,
                        .socket_path = endpoint.socket_path,
                        .closing = state.closing != 0,
                        .endpoint = thing.parent,
                        .refusals = std::make_shared<Refusals>(),
                        .session = nullptr};
    Session::Handles handles{.uffd = std::move(thing.fds.at(kept::kUffd)),
                             .socket = std::move(thing.fds.at(kept::kSocket)),
                             .vmm = vmm.duplicate(),
                             .state = std::move(ready.state),
                             .is_taken_over = true,
                             .key = key};
    if (holding == Holding::not_yet) {
      hold_session(key, thing.parent, *ready.image, handles);
    }
    connected.session =
        std::make_unique<Session>(id, std::move(plan), std::move(handles), notify_.get());
    connected_.emplace(key, std::move(connected));
    ids_[id] = key;
    taking_over_.insert(key);
    service().had_session = true;
  } catch (const std::exception& error) {
    // Without its state, nothing distinguishes a page that the guest has discarded from one that it
    // needs.
    const bool killed = vmm.kill();
    base::say_warning(
        std::string(error.what()) + "; process " + std::to_string(vmm.pid()) +
        " cannot be served any longer; " +
        (killed ? "killed it, because its guest would hang" : "cannot kill it: its guest hangs"));
    // While a guest may live, the keeper holds its userfaultfd: missing pages become zeros when the
    // last descriptor is closed.
    if (killed) {
      let_go(key);
    }
  }
}

// Returns whether no further VMM may connect there.
bool Pager::adopt_endpoint(Key key, HeldThing& thing, Prepared& prepared, bool taken) {
  try {
    PreparedThing ready = prepared.take(key, thing);
    Endpoint& endpoint = ready.text.endpoint;
    endpoint.image = std::move(ready.image);
    endpoint.hot = std::move(ready.hot);
    const auto& state = ready.endpoint.as<EndpointState>();
    endpoint.traced = state.traced != 0;
    taken = taken && !endpoint.many;
    const bool leaving = taken || state.leaving != 0;
    base::Fd lock = thing.fds.size() > kept::kListenerLock
                        ? std::move(thing.fds[kept::kListenerLock])
                        : base::Fd();
    base::UnixListener listener =
        base::UnixListener::adopt(endpoint.socket_path, std::move(thing.fds.at(kept::kListener)),
                                  std::move(lock), state.socket);
    if (!leaving && !listener.is_reachable()) {
      throw base::BadData("session " + base::quoted(endpoint.id) + ": closed: its socket " +
                          base::quoted(endpoint.socket_path) + " was removed or replaced");
    }
    endpoints_.watch(listener.fd(), key);
    if (!endpoint.many) {
      service().had_session = true;
      ids_.try_emplace(endpoint.id, key);
    }
    const uint64_t now = monotonic_ns();
    const std::chrono::milliseconds left{(state.deadline_ns - std::min(state.deadline_ns, now)) /
                                         kMillisecond};
    endpoints_.add(key, Waiting{.endpoint = std::move(endpoint),
                                .listener = std::move(listener),
                                .deadline = state.deadline_ns == 0 ? base::Deadline::never()
                                                                   : base::Deadline::after(left),
                                .state = std::move(ready.endpoint),
                                .kept_image = std::move(thing.fds.at(kept::kEndpointImage)),
                                .taken = taken});
    return leaving;
  } catch (const std::exception& error) {
    base::say_warning(error.what());
    let_go(key);
    return false;
  }
}

void Pager::leave() {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, connected] : connected_) {
      if (!connected.session->trace_path().empty()) {
        connected.session->stop();
      }
    }
    constexpr std::chrono::seconds kLimit{1};
    const base::Deadline deadline = base::Deadline::after(kLimit);
    for (const auto& [key, connected] : connected_) {
      if (!connected.session->trace_path().empty()) {
        const std::chrono::milliseconds left{std::max(0, deadline.poll_timeout())};
        static_cast<void>(connected.session->wait_for_end(left));
      }
    }
  }
  base::flush_messages();
  ::_exit(kLeftStatus);
}

// When all sessions of earlier servers are served, the keeper starts the next successor.
void Pager::check_taken_over() {
  const std::lock_guard lock(mutex_);
  if (reported_ready_ || settings_.keeper == nullptr) {
    return;
  }
  uint64_t replayed = 0;
  for (const auto& [key, connected] : connected_) {
    if (taking_over_.contains(key)) {
      const std::optional<uint64_t> count = connected.session->replayed();
      if (!count && !connected.session->ended()) {
        return;
      }
      replayed += count.value_or(0);
    }
  }
  taking_over_.clear();
  reported_ready_ = true;
  settings_.keeper->ready(replayed);
}

}  // namespace pager
