// SPDX-License-Identifier: Apache-2.0
// The keeper's loop: messages of servers, and their ends.
#include "pager/keep/keeper.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/message.h"
#include "pager/kernel/clock.h"

namespace pager {
namespace {

using Type = KeepMessage::Type;

std::string text_of(const KeptServer::End& end) {
  return end.exited ? "exited with status " + std::to_string(end.status)
                    : "was killed by signal " + std::to_string(end.status) + " (" +
                          ::strsignal(end.status) + ")";
}

RestartReason reason_of(const KeptServer::End& end) {
  return end.exited              ? RestartReason::exited
         : end.status == SIGKILL ? RestartReason::killed
                                 : RestartReason::crashed;
}

}  // namespace

Keeper::Keeper(ServerProgram program, int signals, const Settings& settings, FdStore::Stored stored)
    : program_(std::move(program)),
      signals_(signals),
      page_fd_(stored.page ? std::move(stored.page) : make_keeper_page()),
      page_(map_keeper_page(page_fd_.get())),
      held_(std::move(stored.things)),
      upgrade_(page_),
      hangs_(settings.hang_timeout),
      quarantine_(settings.on_poisonous) {
  page_.keeper_pid = static_cast<uint64_t>(::getpid());
  page_.hang_timeout_ms = static_cast<uint64_t>(settings.hang_timeout.count());
  page_.holds_poisonous = settings.on_poisonous == OnPoisonous::hold ? 1 : 0;
}

Keeper::Keeper(ServerProgram program, int signals, base::Fd page, KeptServer serving)
    : program_(std::move(program)),
      signals_(signals),
      page_fd_(std::move(page)),
      page_(map_keeper_page(page_fd_.get())),
      active_(std::move(serving)),
      upgrade_(page_),
      hangs_(std::chrono::milliseconds(page_.hang_timeout_ms)),
      quarantine_(page_.holds_poisonous != 0 ? OnPoisonous::hold : OnPoisonous::kill) {
  page_.keeper_pid = static_cast<uint64_t>(::getpid());
  ++page_.keepers;
  // The server sends what it has when it knows that this process runs.
  static_cast<void>(send_message(active_->socket(), {.type = Type::hello}, {}));
}

Keeper::~Keeper() {
  if (successor_) {
    successor_->kill(SIGKILL);
  }
}

int Keeper::run() {
  start_first();
  do {
    wait();
  } while (handle_ends());
  store_.clear(held_);
  return status_;
}

void Keeper::wait() {
  std::array<struct pollfd, 8> fds{};
  fds[0] = {.fd = active_ ? signals_ : -1, .events = POLLIN, .revents = 0};
  const auto watch = [&](size_t at, std::optional<KeptServer>& server) {
    fds[at].fd = fds[at + 1].fd = -1;
    if (server && server->is_closed) {
      fds[at + 1] = {.fd = server->pidfd(), .events = POLLIN, .revents = 0};
    } else if (server) {
      const bool all_sent = server->flush(held_);
      const short events = all_sent ? POLLIN : POLLIN | POLLOUT;
      fds[at] = {.fd = server->socket(), .events = events, .revents = 0};
      fds[at + 1] = {.fd = server->pidfd(), .events = POLLIN, .revents = 0};
    }
  };
  watch(1, active_);
  watch(3, successor_);
  watch(5, upgrade_.server());
  fds[7] = {.fd = store_.flush() ? -1 : store_.fd(), .events = POLLOUT, .revents = 0};
  const base::Deadline next = std::min(
      {start_at_, hangs_.next(), killed_until_, upgrade_.deadline(), store_.next_report()});
  if (::poll(fds.data(), fds.size(), next.poll_timeout()) < 0 && errno != EINTR) {
    base::throw_errno("cannot wait for the servers");
  }
  if (fds[0].revents != 0) {
    struct signalfd_siginfo info {};
    if (::read(signals_, &info, sizeof info) == sizeof info && active_) {
      active_->kill(static_cast<int>(info.ssi_signo));
    }
  }
  // What a server has sent before its end still counts.
  for (std::optional<KeptServer>* server : {&active_, &successor_, &upgrade_.server()}) {
    if (*server && !(*server)->is_closed) {
      receive(**server);
    }
  }
}

void Keeper::receive(KeptServer& server) {
  try {
    bool lost = false;
    while (std::optional<ReceivedMessage> received = receive_message(server.socket(), &lost)) {
      handle(server, *received, std::exchange(lost, false));
    }
  } catch (const PeerEnded&) {
    server.is_closed = true;  // it ends now, with its own exit status
  } catch (const std::exception& error) {
    base::say_warning("killing the page server (" + std::to_string(server.pid()) +
                      "): " + error.what());
    server.is_closed = true;
    server.kill(SIGKILL);
  }
}

void Keeper::handle(KeptServer& server, ReceivedMessage& received, bool lost) {
  const KeepMessage& message = received.message;
  if (upgrade_.is_server(server)) {
    if (upgrade_.handle(message, held_) && active_) {
      active_->kill(kLeaveSignal);
    }
    return;
  }
  if (!active_ || &server != &*active_) {
    return;  // a successor has nothing to say before it serves but hello
  }
  switch (message.type) {
    case Type::hold:
      if (!lost) {
        hold(message.key,
             {.kind = message.kind, .parent = message.parent, .fds = std::move(received.fds)});
      }
      reply(server, lost ? EMFILE : 0);
      break;
    case Type::drop:
      if (const auto thing = held_.find(message.key);
          thing != held_.end() && thing->second.kind == Kept::service) {
        server.has_said_goodbye = true;
      }
      drop(message.key);
      reply(server, 0);
      break;
    case Type::accept:
      accept(server, message);
      break;
    case Type::ready:
      server.is_ready = true;
      end_upgrade();
      hangs_.start(held_);
      page_.replayed += message.value;
      if (!successor_) {
        start_at_ = base::Deadline::after(std::chrono::milliseconds(0));
      }
      break;
    case Type::upgrade:
      reply(server, begin_upgrade(received, lost));
      break;
    default:
      break;
  }
}

// Kills the server if it hangs. It is never replaced before it has ended.
void Keeper::end_hung_server() {
  if (killed_until_.passed()) {
    killed_until_ = base::Deadline::never();
    base::say_warning(
        "the page server (" + std::to_string(active_->pid()) +
        ") was killed 5 s ago and has not ended; the keeper holds its guests, and starts "
        "no other server before its end");
  }
  if (!hangs_.next().passed()) {
    return;
  }
  if (const std::optional<HangWatch::Hang> hang = hangs_.check(held_, page_)) {
    base::say_warning("the page server (" + std::to_string(active_->pid()) + ") hangs (" +
                      (hang->key == 0 ? std::string("main thread")
                                      : "session with key " + std::to_string(hang->key)) +
                      "); killing it");
    hung_ = true;
    hung_session_ = hang->key;
    kill_active();
  }
}

void Keeper::kill_active() {
  constexpr std::chrono::seconds kLimit{5};
  active_->kill(SIGKILL);
  killed_until_ = base::Deadline::after(kLimit);
  hangs_.stop();
}

void Keeper::queue(uint64_t key) {
  for (std::optional<KeptServer>* server : {&successor_, &upgrade_.server()}) {
    if (*server) {
      (*server)->queue(key);
    }
  }
}

// A connection is sent to a successor only when it has to serve, because most of them last
// microseconds.
void Keeper::hold(uint64_t key, HeldThing thing) {
  const bool is_connection = thing.kind == Kept::connection;
  const bool is_session = thing.kind == Kept::session;
  HeldThing before = std::exchange(held_[key], std::move(thing));
  store_.hold(held_, key, before);
  closer_.take(key, std::move(before));
  if (is_session && hangs_.next().is_never() && active_ && active_->is_ready && !hung_) {
    hangs_.start(held_);
  }
  if (!is_connection) {
    queue(key);
  }
}

void Keeper::drop(uint64_t key) {
  const auto found = held_.find(key);
  if (found == held_.end()) {
    return;
  }
  if (found->second.kind != Kept::connection) {
    queue(key);
  }
  store_.drop(held_, key);
  closer_.take(key, std::move(found->second));
  held_.erase(found);
}

void Keeper::accept(KeptServer& server, const KeepMessage& request) {
  const auto endpoint = held_.find(request.value);
  if (endpoint == held_.end() || endpoint->second.kind != Kept::endpoint ||
      endpoint->second.fds.size() <= kept::kListener) {
    reply(server, EBADF);
    return;
  }
  base::Fd socket(::accept4(endpoint->second.fds[kept::kListener].get(), nullptr, nullptr,
                            SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) {
    reply(server, errno);
    return;
  }
  const int fd = socket.get();
  HeldThing thing{.kind = Kept::connection, .parent = request.value, .fds = {}};
  thing.fds.push_back(std::move(socket));
  hold(request.key, std::move(thing));
  reply(server, 0, fd);
}

// A server sends one request at a time and reads the reply, so the socket has room.
void Keeper::reply(KeptServer& server, int error, int fd) {
  const KeepMessage message{.type = Type::reply, .value = static_cast<uint64_t>(error)};
  static_cast<void>(send_message(server.socket(), message,
                                 fd >= 0 ? std::span<const int>(&fd, 1) : std::span<const int>()));
}

bool Keeper::holds_session() const {
  return std::ranges::any_of(held_,
                             [](const auto& entry) { return entry.second.kind == Kept::session; });
}

// Returns false if the keeper has to end.
bool Keeper::handle_ends() {
  handle_upgrade();
  if (successor_) {
    if (const auto end = successor_->end()) {
      if (!successor_->is_retired) {
        base::say_warning("the page server that waits (" + std::to_string(successor_->pid()) +
                          ") " + text_of(*end));
      }
      note_end(*successor_);
      successor_.reset();
    }
  }
  if (active_) {
    end_hung_server();
    if (const auto end = active_->end()) {
      if (!active_->is_closed) {
        receive(*active_);  // what it has sent between the poll and its end
      }
      if (ends_with(*end)) {
        return false;
      }
      note_active_end(*end);
      active_.reset();
    }
  }
  if (start_at_.passed()) {
    start_at_ = base::Deadline::never();
    start_successor();
  }
  if (!active_) {
    promote();
  }
  return true;
}

// Writes down why the server that served has ended.
void Keeper::note_active_end(const KeptServer::End& end) {
  const bool has_left = upgrade_.phase() == Upgrade::Phase::leaves;
  if (upgrade_.is_trial()) {
    upgrade_.fail(end);
  } else if (!has_left) {
    upgrade_.fail(UpgradeProblem::server_ended, 0);
  }
  page_.ended_ns = monotonic_ns();
  page_.ready_ns = 0;
  ++page_.restarts;
  page_.reason = has_left ? RestartReason::upgraded : hung_ ? RestartReason::hung : reason_of(end);
  hung_ = false;
  const uint64_t crashed = page_.crashed_session.exchange(0);
  const uint64_t hung = std::exchange(hung_session_, 0);
  const uint64_t cause = hung != 0 ? hung : page_.reason == RestartReason::crashed ? crashed : 0;
  if (cause != 0 && quarantine_.note_end(held_, cause)) {
    ++page_.quarantined;
    queue(cause);  // as a removal
  }
  if (!active_->is_child() && !active_->is_ready) {
    // The next server recovers from the states of the sessions, because some may be missing here.
    for (auto& [key, thing] : std::exchange(held_, {})) {
      abandoned_.push_back(std::move(thing));
    }
  }
  killed_until_ = base::Deadline::never();
  page_.signal = end.exited ? 0 : static_cast<uint64_t>(end.status);
  note_end(*active_);
  if (!has_left) {
    base::say_warning("the page server (" + std::to_string(active_->pid()) + ") " + text_of(end));
  }
}

// Whether the keeper ends with the server that served: it has ended by itself, or has never served.
bool Keeper::ends_with(const KeptServer::End& end) {
  const bool never_served = page_.generation == 1 && !active_->is_ready && active_->is_child();
  const bool by_itself = end.exited && end.status != kLeftStatus && !upgrade_.is_trial() &&
                         (end.status == 0 || !holds_session());
  if (!never_served && !by_itself) {
    return false;
  }
  status_ = end.exited ? end.status : static_cast<int>(base::ExitCode::system);
  if (!end.exited) {
    base::say_error("the page server " + text_of(end) + " before it was ready");
  }
  return true;
}

// Decides when the next server is started: at once, or later and later if servers end before they
// serve, or soon after their start.
void Keeper::note_end(const KeptServer& server) {
  constexpr unsigned kMostDoublings = 12;  // 4 s
  const bool is_active = active_ && &server == &*active_;
  failures_ = (is_active ? server.is_ready : server.has_waited()) ? 0 : failures_ + 1;
  const auto delay = failures_ == 0 ? 0 : 1 << std::min(failures_, kMostDoublings);
  if (!is_active || !successor_) {
    start_at_ = base::Deadline::after(std::chrono::milliseconds(delay));
  }
}

}  // namespace pager
