// SPDX-License-Identifier: Apache-2.0
// Pager: creates sessions of VMMs that have connected.
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/message.h"
#include "pager/serve/kept_text.h"
#include "pager/serve/pager.h"

namespace pager {
namespace {

constexpr std::chrono::seconds kRecordAgain{1};

}  // namespace

ServingPlan Pager::plan_for(Waiting& waiting, const std::string& session_id) {
  Endpoint& endpoint = waiting.endpoint;
  const SharedMemory& state = waiting.state;
  ServingPlan plan{.image = endpoint.image,
                   .hot = endpoint.hot,
                   .hot_refused = endpoint.hot_refused,
                   .serving = endpoint.serving};
  const std::string& trace = endpoint.serving.trace_path;
  if (!trace.empty() && !(endpoint.many && endpoint.traced)) {
    plan.trace.emplace(trace);
    endpoint.traced = true;
    if (state.size() > 0) {
      state.as<EndpointState>().traced = 1;
    }
  } else if (!trace.empty() && trace != "-") {
    plan.trace.emplace(trace + "." + session_id);
  }
  return plan;
}

// Why a complete handshake cannot be served at its endpoint; nothing if it can.
std::optional<std::string> Pager::problem_of(const Waiting& waiting,
                                             std::span<const hot::Region> regions) {
  if (waiting.taken) {
    return "the session already has a VMM";
  }
  const Image& image = *waiting.endpoint.image;
  std::optional<std::string> problem = hot::layout_problem(regions, image.size());
  if (problem) {
    problem = "the handshake does not fit " + base::quoted(image.path()) + ": " + *problem;
  }
  return problem;
}

// The id of the session that a VMM at this endpoint becomes.
std::string Pager::new_session_id(const Endpoint& endpoint, Key endpoint_key, Key key) {
  std::string id = endpoint.many ? std::to_string(++service().many_count) : endpoint.id;
  const auto other = ids_.find(id);
  return other == ids_.end() || other->second == endpoint_key
             ? id
             : free_old_id(id, key);  // another session has it now
}

// If it throws, `pending` and `handshake` are unchanged.
void Pager::connect(Key key, PendingHandshake& pending, HandshakeReader::Result& handshake) {
  Waiting& waiting = *endpoints_.find(pending.endpoint);
  endpoints_.unwatch(pending.socket.get());
  if (const std::optional<std::string> problem = problem_of(waiting, handshake.regions)) {
    endpoints_.refuse(std::move(pending), *problem, std::move(handshake.uffd));
    return;
  }
  const Key endpoint_key = pending.endpoint;
  std::string id = new_session_id(waiting.endpoint, endpoint_key, key);
  if (!start_session(key, id, waiting, pending, handshake)) {
    return;
  }
  service().had_session = true;
  if (!waiting.endpoint.many) {
    // From now on the kernel refuses a second VMM.
    waiting.taken = true;
    endpoints_.shut(endpoint_key);
    endpoints_.refuse_pending_of(endpoint_key, "the session already has a VMM");
  }
  ids_[id] = key;
}

// Makes the state of a session. With a keeper it is in a file, which its successor maps.
Session::Handles Pager::handles_of(Key key, const std::string& id, const ServingPlan& plan,
                                   const Endpoint& endpoint, const Connecting& from) {
  std::unique_ptr<StateMapping> state;
  const ImageIdentity& identity = plan.image->identity();
  if (settings_.keeper == nullptr) {
    state = std::make_unique<StateMapping>(from.handshake.regions, identity);
  } else {
    const std::string text = compose_kept_text(endpoint);
    const uint64_t bytes = StateMapping::bytes_for(from.handshake.regions, text);
    state = std::make_unique<StateMapping>(from.handshake.regions, identity, text,
                                           state_files_.create(key, StateFiles::kSession, bytes));
    if (!state->pin() && !std::exchange(lock_warned_, true)) {
      base::say_info(
          "RLIMIT_MEMLOCK does not permit to lock the states of sessions: they may be swapped out");
    }
  }
  Session::describe(state->state(), id, plan, from.pending.vmm);
  return {.uffd = std::move(from.handshake.uffd),
          .socket = std::move(from.pending.socket),
          .vmm = std::move(from.pending.vmm),
          .state = std::move(state),
          .key = settings_.keeper != nullptr ? key : 0};
}

// Adds the session to connected_. Returns false if it cannot be started; its VMM is then refused.
bool Pager::start_session(Key key, const std::string& id, Waiting& waiting,
                          PendingHandshake& pending, HandshakeReader::Result& handshake) {
  Endpoint& endpoint = waiting.endpoint;
  RefusedPeer otherwise{.session = id,
                        .refusals = waiting.refusals,
                        .on_refusal = endpoint.serving.refusal_action(),
                        .vmm = pending.vmm.duplicate(),
                        .sent_userfaultfd = true};
  Connected connected{.id = id,
                      .instance_id = endpoint.instance_id,
                      .cache_key = endpoint.cache_key,
                      .socket_path = endpoint.socket_path,
                      .closing = endpoints_.is_leaving(pending.endpoint) && !service().draining,
                      .endpoint = pending.endpoint,
                      .refusals = waiting.refusals,
                      .session = nullptr};
  // The record is written before the first fault is answered, so it always exists if the server is
  // killed.
  record(key, id, {.pid = pending.vmm.pid(), .start_time = pending.vmm.start_time()});
  const int cannot_kill = pending.vmm.cannot_kill();  // the session's thread closes the pidfd
  try {
    ServingPlan plan = plan_for(waiting, id);
    Session::Handles handles =
        handles_of(key, id, plan, endpoint, {.pending = pending, .handshake = handshake});
    if (hold_session(key, pending.endpoint, *endpoint.image, handles)) {
      pending.reader.take_out_of_queue(handles.socket.get());
    } else {
      // A successor that finds only the connection would not know what the guest has discarded.
      let_go(key);
    }
    connected.session =
        std::make_unique<Session>(id, std::move(plan), std::move(handles), notify_.get());
  } catch (const std::exception& error) {
    unrecorded_.erase(key);
    records_.remove(id);
    state_files_.remove(key, StateFiles::kSession);
    endpoints_.drop(key, pending.endpoint, std::move(otherwise), error.what());
    return false;
  }
  if (connected.closing) {
    connected.set_closing();
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
  return true;
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

// Peers that have connected may still finish their handshake.
void Pager::expire_endpoints() {
  while (const std::optional<Key> key = endpoints_.expired()) {
    const std::string id = endpoints_.waiting().at(*key).endpoint.id;
    endpoints_.shut(*key);
    if (!ids_.contains(id) && endpoints_.pending_of(*key).empty()) {
      base::say_warning("session " + base::quoted(id) + ": closed: no VMM connected within " +
                        std::to_string(settings_.connect_timeout.count()) + " ms");
    }
  }
}

}  // namespace pager
