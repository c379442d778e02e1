#include "pager/pager.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/message.h"
#include "pager/event_fd.h"

namespace pager {
namespace {

constexpr uint64_t kNotifyKey = 0;
constexpr uint64_t kSignalKey = 1;

base::Fd open_spare() {
  return base::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

base::Fd owned(int fd, const char* what) {
  if (fd < 0) {
    base::throw_errno(std::string("cannot create ") + what);
  }
  return base::Fd(fd);
}

// Numbers are given out from below, so a high one means that few are left: what is new is refused
// while those that are there, and requests about them, still get theirs.
void refuse_when_scarce(int fd) {
  constexpr rlim_t kReserve = 16;
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
      (fd < 0 || static_cast<rlim_t>(fd) + kReserve >= limit.rlim_cur)) {
    base::throw_error_number(EMFILE, "no more sessions: " + std::to_string(limit.rlim_cur) +
                                         " descriptors (RLIMIT_NOFILE) are too few");
  }
}

bool may_connect(const base::PeerCredentials& peer, const Place& place) {
  return peer.uid == 0 || peer.uid == ::geteuid() || peer.uid == place.peer_uid;
}

void log_refusal(const Place& place, const std::string& why) {
  base::say_warning("session " + base::quoted(place.id) + ": connection refused: " + why);
}

}  // namespace

Pager::Pager(Settings settings)
    : settings_(std::move(settings)),
      epoll_(owned(::epoll_create1(EPOLL_CLOEXEC), "an epoll descriptor")),
      notify_(make_event_fd()),
      spare_(open_spare()),
      idle_start_(base::Deadline::after(kIdleStart)) {
  watch(notify_.get(), kNotifyKey);
  if (settings_.signals >= 0) {
    watch(settings_.signals, kSignalKey);
  }
}

Pager::~Pager() {
  for (const auto& [key, connected] : connected_) {
    if (!connected.session->ended()) {
      connected.session->log().warn("the server ends; the guest hangs at its next fault");
    }
  }
}

void Pager::watch(int fd, Key key) const {
  struct epoll_event event {};
  event.events = EPOLLIN;
  event.data.u64 = key;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    base::throw_errno("cannot watch a descriptor");
  }
}

void Pager::run() {
  std::array<struct epoll_event, 64> events{};
  while (!finished()) {
    const int n = ::epoll_wait(epoll_.get(), events.data(), events.size(), timeout_ms());
    if (n < 0 && errno != EINTR) {
      base::throw_errno("cannot wait for connections");
    }
    for (int i = 0; i < n; ++i) {
      handle(events[static_cast<size_t>(i)].data.u64);
    }
    drop_late_greetings();
  }
}

bool Pager::finished() {
  const std::lock_guard lock(mutex_);
  const bool nobody = connected_.empty() && greetings_.empty();
  const bool idle = nobody && waiting_.empty();
  bool end = stop_ || (draining_ && idle);
  if (settings_.end == End::when_idle) {
    end = end || (idle && (had_session_ || idle_start_.passed()));
  } else if (settings_.end == End::after_last_client) {
    end = end || (had_session_ && nobody);
  }
  draining_ = draining_ || end;  // what is asked for from here on is refused, not lost
  return end;
}

int Pager::timeout_ms() const {
  const std::lock_guard lock(mutex_);
  if (!greetings_.empty()) {
    return greetings_.begin()->second.deadline.poll_timeout();  // the oldest, all wait equally long
  }
  const bool may_be_idle = settings_.end == End::when_idle && !had_session_ && waiting_.empty();
  return may_be_idle ? idle_start_.poll_timeout() : -1;
}

void Pager::handle(Key key) {
  if (key == kNotifyKey) {
    clear_event(notify_.get());
    reap();
    return;
  }
  if (key == kSignalKey) {
    struct signalfd_siginfo info {};
    if (::read(settings_.signals, &info, sizeof info) == sizeof info) {
      terminate();
    }
    return;
  }
  const std::lock_guard lock(mutex_);
  if (const auto waiting = waiting_.find(key); waiting != waiting_.end()) {
    accept_from(key, waiting->second);
  } else if (const auto greeting = greetings_.find(key); greeting != greetings_.end()) {
    read_greeting(key, greeting->second);
  }
}

void Pager::accept_from(Key key, Waiting& waiting) {
  try {
    while (std::optional<base::Fd> socket = waiting.listener.accept()) {
      admit(key, waiting.place, std::move(*socket));
    }
  } catch (const std::system_error& error) {
    log_refusal(waiting.place, error.what());
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
    log_refusal(of, "process " + std::to_string(peer.pid) + " of user " + std::to_string(peer.uid) +
                        " may not be served here");
    return;
  }
  refuse_when_scarce(socket.get());
  Vmm vmm = Vmm::of_peer(socket.get());
  const Key key = next_key_++;
  watch(socket.get(), key);
  greetings_.emplace(key, Greeting{.place = place,
                                   .socket = std::move(socket),
                                   .vmm = std::move(vmm),
                                   .reader = {},
                                   .deadline = base::Deadline::after(settings_.handshake_timeout)});
}

void Pager::read_greeting(Key key, Greeting& greeting) {
  const auto waiting = waiting_.find(greeting.place);
  try {
    std::optional<HandshakeReader::Result> handshake =
        greeting.reader.read_from(greeting.socket.get());
    if (!handshake) {
      return;
    }
    connect(key, greeting, std::move(*handshake));
  } catch (const std::exception& error) {
    log_refusal(waiting->second.place, error.what());
  }
  greetings_.erase(key);
}

ServingPlan Pager::plan_for(Place& place, const std::string& session_id) {
  ServingPlan plan{.image = place.image,
                   .hot = place.hot,
                   .trace = std::exchange(place.trace, std::nullopt),
                   .on_failure = place.on_failure,
                   .read_attempts = place.read_attempts};
  if (!plan.trace && !place.trace_path.empty() && place.trace_path != "-") {
    plan.trace =
        TraceWriter::open(place.many ? place.trace_path + "." + session_id : place.trace_path);
  }
  plan.window = place.window.value_or(plan.trace ? Window::fixed(1) : Window::automatic());
  return plan;
}

void Pager::connect(Key key, Greeting& greeting, HandshakeReader::Result handshake) {
  Place& place = waiting_.at(greeting.place).place;
  const std::string id = place.many ? std::to_string(++many_count_) : place.id;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, greeting.socket.get(), nullptr);
  if (const auto problem = layout_problem(handshake.regions, place.image->size())) {
    throw base::BadData("the handshake does not fit " + base::quoted(place.image->path()) + ": " +
                        *problem);
  }
  ServingPlan plan = plan_for(place, id);
  // Before the first fault is answered, so that a server that is killed has always left it.
  write_record(id, greeting.vmm);
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
    remove_record(id);
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

std::string Pager::record_path(const std::string& id) const {
  return settings_.record_dir + "/" + id + ".vmm";
}

void Pager::write_record(const std::string& id, const Vmm& vmm) const {
  if (settings_.record_dir.empty()) {
    return;
  }
  constexpr mode_t kMode = 0600;
  const std::string text =
      std::to_string(vmm.pid()) + " " + std::to_string(vmm.start_time()) + "\n";
  try {
    base::write_file_atomic(record_path(id), text, kMode, base::Durable::no);
  } catch (const std::system_error& error) {
    base::say_warning(std::string(error.what()) + "; serving without it");
  }
}

void Pager::remove_record(const std::string& id) const {
  if (!settings_.record_dir.empty()) {
    ::unlink(record_path(id).c_str());
  }
}

// Ends a place, and the connections to it whose handshake is not whole; the one that has just
// become a session has given up its socket, and is its caller's to erase.
void Pager::remove_place(Key place) {
  waiting_.erase(place);
  std::erase_if(greetings_, [&](const auto& entry) {
    return entry.second.place == place && entry.second.socket;
  });
}

void Pager::drop_late_greetings() {
  const std::lock_guard lock(mutex_);
  while (!greetings_.empty() && greetings_.begin()->second.deadline.passed()) {
    const auto late = greetings_.begin();
    if (const auto waiting = waiting_.find(late->second.place); waiting != waiting_.end()) {
      log_refusal(waiting->second.place, "no whole handshake within " +
                                             std::to_string(settings_.handshake_timeout.count()) +
                                             " ms");
    }
    greetings_.erase(late);
  }
}

void Pager::terminate() {
  const std::lock_guard lock(mutex_);
  std::vector<Key> places;
  for (const auto& [key, waiting] : waiting_) {
    places.push_back(key);
  }
  for (const Key place : places) {
    take_who_has_come(place);
  }
  stop_ = draining_;
  draining_ = true;
  // A VMM that has not connected yet is told so by the kernel, and no guest of it runs.
  for (const auto& [key, waiting] : waiting_) {
    ids_.erase(waiting.place.id);
  }
  waiting_.clear();
  greetings_.clear();
  if (!stop_ && !connected_.empty()) {
    base::say_info("serving " + std::to_string(connected_.size()) +
                   " guests until they end; a second signal ends at once, and they hang");
  }
}

void Pager::reap() {
  std::vector<std::unique_ptr<Session>> ended;
  {
    const std::lock_guard lock(mutex_);
    for (auto it = connected_.begin(); it != connected_.end();) {
      Connected& connected = it->second;
      if (!connected.session->ended()) {
        ++it;
        continue;
      }
      Totals totals = connected.session->counters().totals();
      totals.forget_gauges();
      ended_totals_.add(totals);
      add_octaves(ended_latency_, connected.session->counters().latency.octaves());
      remove_record(connected.id);
      ids_.erase(connected.id);
      connected.session->log().detail("ended after " + std::to_string(totals[Count::faults]) +
                                      " faults");
      ended.push_back(std::move(connected.session));
      it = connected_.erase(it);
    }
  }
  // Outside of the lock: the last session of an image closes it.
  ended.clear();
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
    // The first that is served ends the place, and the others with it.
    if (const auto greeting = greetings_.find(key); greeting != greetings_.end()) {
      read_greeting(key, greeting->second);
    }
  }
}

// Makes way for a new place of this id.
void Pager::supersede(const std::string& id) {
  const auto found = ids_.find(id);
  if (found == ids_.end()) {
    return;
  }
  take_who_has_come(found->second);
  const Key key = found->second;
  ids_.erase(found);
  const auto connected = connected_.find(key);
  if (connected == connected_.end()) {
    remove_place(key);
    return;
  }
  Connected& old = connected->second;
  old.id += ".old-" + std::to_string(key);
  old.closing = true;
  ids_[old.id] = key;
  if (!settings_.record_dir.empty()) {
    // Without it only the record is lost, as when it could not be written.
    static_cast<void>(::rename(record_path(id).c_str(), record_path(old.id).c_str()));
  }
}

void Pager::open(Place place) {
  const std::lock_guard lock(mutex_);
  if (draining_) {
    throw Draining("pager is draining");
  }
  // Before anything is changed for it.
  refuse_when_scarce(base::Fd(::fcntl(epoll_.get(), F_DUPFD_CLOEXEC, 0)).get());
  supersede(place.id);
  base::UnixListener listener(place.socket_path, place.claim);
  if (place.peer_uid) {
    listener.give_to(*place.peer_uid);
  }
  const Key key = next_key_++;
  watch(listener.fd(), key);
  if (!place.many) {
    had_session_ = true;
    ids_[place.id] = key;
  }
  waiting_.emplace(key, Waiting{.place = std::move(place), .listener = std::move(listener)});
}

bool Pager::close(std::string_view id) {
  bool found = false;
  {
    const std::lock_guard lock(mutex_);
    const auto entry = ids_.find(id);
    found = entry != ids_.end();
    if (found) {
      take_who_has_come(entry->second);
      const auto connected = connected_.find(entry->second);
      if (connected != connected_.end()) {
        connected->second.closing = true;
      } else {
        remove_place(entry->second);
        ids_.erase(entry);
      }
    }
  }
  signal_event(notify_.get());  // run() may be done now
  return found;
}

Pager::Ordered Pager::find_connected(std::string_view id, Session*& session) const {
  const auto entry = ids_.find(id);
  if (entry == ids_.end()) {
    return Ordered::unknown;
  }
  const auto connected = connected_.find(entry->second);
  if (connected == connected_.end()) {
    return Ordered::not_connected;
  }
  session = connected->second.session.get();
  return Ordered::yes;
}

Pager::CompletionOrder Pager::complete(std::string_view id, uint64_t bytes_per_second) {
  const std::lock_guard lock(mutex_);
  Session* session = nullptr;
  CompletionOrder order{.ordered = find_connected(id, session)};
  if (session != nullptr) {
    order.completion = session->complete(bytes_per_second);
    order.ordered = order.completion ? Ordered::yes : Ordered::under_way;
  }
  return order;
}

Pager::Ordered Pager::prefetch(std::string_view id, std::shared_ptr<const HotFile> list) {
  const std::lock_guard lock(mutex_);
  Session* session = nullptr;
  const Ordered ordered = find_connected(id, session);
  if (session != nullptr) {
    session->prefetch(std::move(list));
  }
  return ordered;
}

Pager::Ordered Pager::pause_prefetch(std::string_view id) {
  const std::lock_guard lock(mutex_);
  Session* session = nullptr;
  const Ordered ordered = find_connected(id, session);
  if (session != nullptr) {
    session->pause();
  }
  return ordered;
}

std::shared_ptr<const Image> Pager::image_of(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  Session* session = nullptr;
  static_cast<void>(find_connected(id, session));
  return session != nullptr ? session->shared_image() : nullptr;
}

void Pager::drain() {
  {
    const std::lock_guard lock(mutex_);
    draining_ = true;
  }
  signal_event(notify_.get());  // run() may be done now
}

bool Pager::draining() const {
  const std::lock_guard lock(mutex_);
  return draining_;
}

size_t Pager::active() const {
  const std::lock_guard lock(mutex_);
  return waiting_.size() + connected_.size();
}

SessionInfo Pager::info_of(const Waiting& waiting) {
  const Place& place = waiting.place;
  SessionInfo info;
  info.id = place.id;
  info.instance_id = place.instance_id;
  info.cache_key = place.cache_key;
  info.socket_path = place.socket_path;
  info.memory_path = place.image->path();
  if (place.hot) {
    info.hot_list_path = place.hot->path;
    info.hot_list_entries = place.hot->pages.size();
  }
  return info;
}

SessionInfo Pager::info_of(const Connected& connected) {
  const Session& session = *connected.session;
  SessionInfo info;
  info.id = connected.id;
  info.instance_id = connected.instance_id;
  info.cache_key = connected.cache_key;
  info.socket_path = connected.socket_path;
  info.memory_path = session.image().path();
  info.state = connected.closing ? "closing" : "serving";
  info.vmm_pid = session.vmm().pid();
  info.regions = session.regions();
  info.totals = session.counters().totals();
  info.p50_ns = session.counters().latency.percentile(0.50);
  info.p99_ns = session.counters().latency.percentile(0.99);
  info.latency = session.counters().latency.octaves();
  if (const std::shared_ptr<const HotFile> hot = session.hot_list()) {
    info.hot_list_path = hot->path;
    info.hot_list_entries = hot->pages.size();
  }
  return info;
}

std::vector<SessionInfo> Pager::sessions() const {
  const std::lock_guard lock(mutex_);
  std::vector<SessionInfo> infos;
  for (const auto& [key, waiting] : waiting_) {
    infos.push_back(info_of(waiting));
  }
  for (const auto& [key, connected] : connected_) {
    infos.push_back(info_of(connected));
  }
  std::ranges::sort(infos, {}, &SessionInfo::id);
  return infos;
}

std::optional<SessionInfo> Pager::session(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  const auto entry = ids_.find(id);
  if (entry == ids_.end()) {
    return std::nullopt;
  }
  const auto connected = connected_.find(entry->second);
  return connected != connected_.end() ? info_of(connected->second)
                                       : info_of(waiting_.at(entry->second));
}

ServerInfo Pager::info() const {
  const std::lock_guard lock(mutex_);
  ServerInfo info{.draining = draining_,
                  .waiting = waiting_.size(),
                  .totals = ended_totals_,
                  .latency = ended_latency_};
  for (const auto& [key, connected] : connected_) {
    ++(connected.closing ? info.closing : info.serving);
    info.totals.add(connected.session->counters().totals());
    add_octaves(info.latency, connected.session->counters().latency.octaves());
  }
  return info;
}

Totals Pager::totals() const {
  return info().totals;
}

}  // namespace pager
