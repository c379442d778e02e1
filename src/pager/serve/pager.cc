// SPDX-License-Identifier: Apache-2.0
// Pager: its loop, its end, and its session table.
#include "pager/serve/pager.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "base/error.h"
#include "base/message.h"
#include "base/process.h"
#include "pager/kernel/clock.h"
#include "pager/kernel/event_fd.h"
#include "pager/serve/run_dir.h"

namespace pager {
namespace {

bool same_file(const Image& a, const Image& b) {
  return a.identity().device == b.identity().device && a.identity().inode == b.identity().inode;
}

// Of the same file. Only links and modes change the change time of a sealed file, so ignore it.
bool same_contents(const Image& a, const Image& b) {
  ImageIdentity one = a.identity();
  ImageIdentity other = b.identity();
  if (a.view() == Image::View::sealed && b.view() == Image::View::sealed) {
    one.changed_ns = other.changed_ns = 0;
  }
  return one == other;
}

base::Fd owned(int fd, const char* what) {
  if (fd < 0) {
    base::throw_errno(std::string("cannot create ") + what);
  }
  return base::Fd(fd);
}

// Whether the VMM of a session has ended, although its thread may not have noticed yet. A manager
// that has waited for its VMM may create the next session of the id at once. A VMM that is not
// visible counts as running.
bool has_ended(const Session& session) {
  return session.ended() ||
         (session.vmm_pid() > 0 && session.vmm_start_time() != 0 &&
          base::process_start_time(session.vmm_pid()) != session.vmm_start_time());
}

}  // namespace

Pager::Pager(Settings settings)
    : settings_(std::move(settings)),
      records_(settings_.record_dir),
      epoll_(owned(::epoll_create1(EPOLL_CLOEXEC), "an epoll descriptor")),
      notify_(make_event_fd()),
      idle_start_(base::Deadline::after(settings_.idle_start)),
      service_(ServiceState::kBytes, settings_.keeper != nullptr),
      state_files_(settings_.record_dir),
      endpoints_(
          epoll_.get(), settings_.handshake_timeout, closer_,
          {.connect = [this](
                          Key key, PendingHandshake& pending,
                          HandshakeReader::Result& handshake) { connect(key, pending, handshake); },
           .stopped = [this](Key key,
                             const Endpoint& endpoint) { forget_endpoint(key, endpoint); }},
          settings_.keeper) {
  service().version = ServiceState::kVersion;
  endpoints_.watch(notify_.get(), kNotifyKey);
  if (settings_.signals >= 0) {
    endpoints_.watch(settings_.signals, kSignalKey);
  }
}

Pager::~Pager() {
  {
    const std::lock_guard lock(mutex_);
    endpoints_.shut_all();
    endpoints_.refuse_pending("the server ends");
  }
  for (const auto& [key, connected] : connected_) {
    if (!connected.session->ended()) {
      connected.session->log().warn("the server ends; the guest will hang at its next fault");
      connected.session->stop();
    }
  }
  // A thread that a disk or filesystem blocks must not delay the end; it ends with the process.
  constexpr std::chrono::seconds kLimit{2};
  const base::Deadline deadline = base::Deadline::after(kLimit);
  for (auto& [key, connected] : connected_) {
    const std::chrono::milliseconds left{std::max(0, deadline.poll_timeout())};
    if (!connected.session->wait_for_end(left)) {
      connected.session->log().warn("its thread does not end; the server exits without it");
      static_cast<void>(connected.session.release());
    }
    closer_.take(key, std::move(connected.session));
  }
}

void Pager::run() {
  std::array<struct epoll_event, 64> events{};
  check_taken_over();
  if (settings_.keeper != nullptr) {
    watch_keeper();
  }
  if (settings_.run_dir != nullptr && settings_.run_dir->watch_fd() >= 0) {
    endpoints_.watch(settings_.run_dir->watch_fd(), kRunDirKey);
  }
  while (!finished()) {
    const int n = ::epoll_wait(epoll_.get(), events.data(), events.size(), timeout_ms());
    if (n < 0 && errno != EINTR) {
      base::throw_errno("cannot wait for connections");
    }
    set_busy(true);
    for (int i = 0; i < n; ++i) {
      handle(events[static_cast<size_t>(i)].data.u64);
    }
    handle_time();
    set_busy(false);
  }
}

void Pager::handle_time() {
  if (keeper_again_.passed()) {
    check_keeper();
  }
  check_run_dir();
  const std::lock_guard lock(mutex_);
  endpoints_.expire_handshakes();
  expire_endpoints();
  endpoints_.resume_paused();
  record_again();
}

// The endpoint accepts no further VMM, so its id is free, unless a session has it now.
void Pager::forget_endpoint(Key key, const Endpoint& endpoint) {
  if (const auto entry = ids_.find(endpoint.id); entry != ids_.end() && entry->second == key) {
    ids_.erase(entry);
  }
  state_files_.remove(key, StateFiles::kEndpoint);
}

bool Pager::end_is_reached() const {
  const bool nobody = connected_.empty() && !endpoints_.has_pending();
  const bool idle = nobody && endpoints_.waiting().empty();
  return stop_ || (service().draining && idle) ||
         (settings_.end == End::when_idle && idle &&
          (service().had_session || idle_start_.passed())) ||
         (settings_.end == End::after_last_client && service().had_session && nobody);
}

bool Pager::finished() {
  if (left_) {
    return true;
  }
  const std::lock_guard lock(mutex_);
  if (!end_is_reached()) {
    return false;
  }
  service().draining = true;  // refuses new requests instead of losing them
  // A VMM may have connected since the check above. After shut_all() none can.
  endpoints_.shut_all();
  return end_is_reached();
}

int Pager::timeout_ms() const {
  const std::lock_guard lock(mutex_);
  base::Deadline next = endpoints_.next_deadline();
  if (settings_.end == End::when_idle && !service().had_session && endpoints_.waiting().empty()) {
    next = std::min(next, idle_start_);
  }
  return std::min({next, record_again_, keeper_again_, check_run_dir_}).poll_timeout();
}

void Pager::handle(Key key) {
  if (key == kNotifyKey) {
    clear_event(notify_.get());
    reap();
    check_taken_over();
    return;
  }
  if (key == kKeeperKey) {
    check_keeper();
    return;
  }
  if (key == kRunDirKey) {
    note_run_dir_event();
    return;
  }
  if (key == kSignalKey) {
    struct signalfd_siginfo info {};
    // A terminal that closes sends SIGHUP once or twice. That only drains the server.
    if (::read(settings_.signals, &info, sizeof info) != sizeof info) {
      return;
    }
    if (info.ssi_signo == kLeaveSignal) {
      left_ = true;
    } else if (info.ssi_signo != SIGHUP || !draining()) {
      terminate();
    }
    return;
  }
  const std::lock_guard lock(mutex_);
  endpoints_.handle(key);
}

void Pager::terminate() {
  const std::lock_guard lock(mutex_);
  stop_ = service().draining;
  service().draining = true;
  // From now on the kernel refuses VMMs that connect. VMMs that have connected may still finish
  // their handshake within its timeout, unless this is the second signal.
  endpoints_.shut_all();
  if (stop_) {
    endpoints_.refuse_pending("the server ends");
  } else if (!connected_.empty()) {
    base::say_info("serving " + std::to_string(connected_.size()) +
                   (connected_.size() == 1 ? " guest until it ends" : " guests until they end") +
                   "; a second signal ends the server at once and hangs its guests");
  }
}

void Pager::reap() {
  const std::lock_guard lock(mutex_);
  for (auto it = connected_.begin(); it != connected_.end();) {
    Connected& connected = it->second;
    if (!connected.session->ended()) {
      ++it;
      continue;
    }
    Totals totals = connected.session->counters().totals();
    totals.forget_gauges();
    let_go(it->first);  // before its totals count as those of the past, so that they count once
    service().ended_totals.add(totals);
    base::add_histogram(service().ended_latency,
                        connected.session->counters().latency.log2_histogram());
    records_.remove(connected.id);
    unrecorded_.erase(it->first);
    ids_.erase(connected.id);
    connected.session->log().detail("ended after " + std::to_string(totals[Count::faults]) +
                                    " faults");
    closer_.take(it->first, std::move(connected.session));
    it = connected_.erase(it);
  }
}

std::string Pager::free_old_id(const std::string& id, Key key) const {
  std::string old_id;
  // The id may be in use: by a session for which a client chose it, or by the record of a VMM that
  // a killed server served.
  for (uint64_t number = key; old_id.empty() || ids_.contains(old_id) || !records_.is_free(old_id);
       ++number) {
    old_id = id + ".old-" + std::to_string(number);
  }
  return old_id;
}

// Closes the session that has this id, so that a new endpoint can use it.
void Pager::supersede(const std::string& id) {
  if (const auto found = ids_.find(id); found != ids_.end()) {
    endpoints_.shut(found->second);  // this may complete a handshake and create a session
  }
  const auto found = ids_.find(id);
  if (found == ids_.end()) {
    return;
  }
  const Key key = found->second;
  ids_.erase(found);
  Connected& old = connected_.at(key);
  old.id = free_old_id(id, key);
  old.set_closing();
  old.session->change_state(
      [&](SessionState& state) { *std::ranges::copy(old.id, state.id.begin()).out = '\0'; });
  ids_[old.id] = key;
  records_.rename(id, old.id);
}

// Returns whether a session of this id waits with the contents that `endpoint` serves. Throws if a
// different session has the id and may not be replaced.
bool Pager::waits_already(const Endpoint& endpoint, Existing existing) {
  if (service().draining) {
    throw Draining("pager is draining");
  }
  auto found = ids_.find(endpoint.id);
  if (found == ids_.end() || existing == Existing::replace) {
    return false;
  }
  endpoints_.accept_and_read(found->second);
  found = ids_.find(endpoint.id);
  if (found == ids_.end()) {
    return false;
  }
  const std::string session = "session " + base::quoted(endpoint.id) + " already exists: ";
  const std::string advice = "; close it, or replace it";
  if (const auto connected = connected_.find(found->second); connected != connected_.end()) {
    if (has_ended(*connected->second.session)) {
      return false;
    }
    throw Occupied(session + "it serves process " +
                   std::to_string(connected->second.session->vmm_pid()) + advice);
  }
  const Endpoint& waiting = endpoints_.waiting().at(found->second).endpoint;
  if (!same_file(*waiting.image, *endpoint.image)) {
    throw Occupied(session + "it waits with a different memory file, " +
                   base::quoted(waiting.image->path()) + advice);
  }
  if (endpoint.serving.peer_uid != waiting.serving.peer_uid) {
    throw Occupied(session + "it waits for a VMM of a different user" + advice);
  }
  if (!endpoint.serving.trace_path.empty() &&
      endpoint.serving.trace_path != waiting.serving.trace_path) {
    throw Occupied(session + "it waits without this trace" + advice);
  }
  return same_contents(*waiting.image, *endpoint.image);
}

Pager::Opened Pager::open(Endpoint endpoint, Existing existing) {
  // All steps that can fail come before the first change.
  {
    const std::lock_guard lock(mutex_);
    if (waits_already(endpoint, existing)) {
      return Opened::waits;
    }
    Endpoints::refuse_when_scarce(base::Fd(::fcntl(epoll_.get(), F_DUPFD_CLOEXEC, 0)).get());
  }
  const bool in_our_directory = endpoint.claim == base::SocketClaim::directory_is_ours;
  base::UnixListener listener =
      in_our_directory
          ? base::UnixListener::prepare(endpoint.socket_path, endpoint.serving.peer_uid)
          : base::UnixListener(endpoint.socket_path, endpoint.claim, endpoint.serving.peer_uid);
  const std::lock_guard lock(mutex_);
  if (waits_already(endpoint, existing)) {
    return Opened::waits;  // another client created it first
  }
  const Key key = endpoints_.new_key();
  endpoints_.watch(listener.fd(), key);
  if (in_our_directory) {
    listener.publish();
  }
  supersede(endpoint.id);
  if (!endpoint.many) {
    service().had_session = true;
    ids_[endpoint.id] = key;
  }
  const bool is_unlimited = endpoint.many || settings_.connect_timeout.count() == 0;
  Waiting waiting{.endpoint = std::move(endpoint),
                  .listener = std::move(listener),
                  .deadline = is_unlimited ? base::Deadline::never()
                                           : base::Deadline::after(settings_.connect_timeout)};
  hold_endpoint(key, waiting);
  endpoints_.add(key, std::move(waiting));
  if (!is_unlimited) {
    signal_event(notify_.get());  // run() may wait for a later deadline
  }
  return Opened::made;
}

bool Pager::close(std::string_view id) {
  bool found = false;
  {
    const std::lock_guard lock(mutex_);
    if (const auto entry = ids_.find(id); entry != ids_.end()) {
      found = true;
      endpoints_.shut(entry->second);  // VMMs that have connected are still served
    }
    if (const auto entry = ids_.find(id); entry != ids_.end()) {
      connected_.at(entry->second).set_closing();
    }
  }
  signal_event(notify_.get());  // run() may return now
  return found;
}

void Pager::drain() {
  {
    const std::lock_guard lock(mutex_);
    service().draining = true;
  }
  signal_event(notify_.get());  // run() may return now
}

}  // namespace pager
