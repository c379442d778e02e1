// SPDX-License-Identifier: Apache-2.0
// Pager: creates sessions of VMMs that have connected.
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/message.h"
#include "pager/serve/pager.h"

namespace pager {
namespace {

constexpr std::chrono::seconds kRecordAgain{1};

}  // namespace

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
  std::string id = endpoint.many ? std::to_string(++many_count_) : endpoint.id;
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
  had_session_ = true;
  if (!waiting.endpoint.many) {
    // From now on the kernel refuses a second VMM.
    waiting.taken = true;
    endpoints_.shut(endpoint_key);
    endpoints_.refuse_pending_of(endpoint_key, "the session already has a VMM");
  }
  ids_[id] = key;
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
                      .closing = endpoints_.is_leaving(pending.endpoint) && !draining_,
                      .refusals = waiting.refusals,
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
    endpoints_.drop(pending.endpoint, std::move(otherwise), error.what());
    return false;
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
