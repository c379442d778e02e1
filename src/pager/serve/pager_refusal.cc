// SPDX-License-Identifier: Apache-2.0
// Pager: refuses peers, and limits descriptors and pending handshakes.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"
#include "pager/serve/pager.h"

namespace pager {
namespace {

// The most pending handshakes of one endpoint: one for a single VMM, which may be restarted, and
// one for many VMMs.
constexpr size_t kMostPendingOfOne = 16;
constexpr size_t kMostPendingOfMany = 256;

}  // namespace

base::Fd Pager::open_spare() {
  return base::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

// The kernel returns the lowest free number, so a high number means that few are left. New
// connections are then refused, while existing sessions and requests about them still get
// descriptors.
bool Pager::descriptors_are_scarce(int fd) {
  constexpr rlim_t kReserve = 16;
  struct rlimit limit {};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
         (fd < 0 || static_cast<rlim_t>(fd) + kReserve >= limit.rlim_cur);
}

void Pager::refuse_when_scarce(int fd) {
  if (descriptors_are_scarce(fd)) {
    struct rlimit limit {};
    static_cast<void>(::getrlimit(RLIMIT_NOFILE, &limit));
    base::throw_error_number(
        EMFILE, "cannot accept another session: out of file descriptors (RLIMIT_NOFILE is " +
                    std::to_string(limit.rlim_cur) + ")");
  }
}

// The connection would stay in the queue and wake run() continuously, so it is accepted and closed.
void Pager::accept_without_descriptors(Waiting& waiting) {
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
void Pager::limit_pending(Key endpoint) {
  Waiting* waiting = endpoint_of(endpoint);
  const std::vector<Key> keys = pending_of(endpoint);
  if (waiting != nullptr &&
      keys.size() > (waiting->endpoint.many ? kMostPendingOfMany : kMostPendingOfOne)) {
    refuse_all({keys.front()}, "it did not send its handshake while many others connected");
  }
}

// `pending` is no longer in the table. `uffd` is the userfaultfd of its handshake, if that was
// complete.
void Pager::refuse(PendingHandshake pending, const std::string& reason, base::Fd uffd) {
  const Waiting& waiting = *endpoint_of(pending.endpoint);
  RefusedPeer peer{.session = waiting.endpoint.id,
                   .refusals = waiting.refusals,
                   .on_refusal = waiting.endpoint.serving.refusal_action(),
                   .vmm = std::move(pending.vmm),
                   .socket = std::move(pending.socket),
                   .fds = pending.reader.take_fds()};
  if (uffd) {
    peer.fds.push_back(std::move(uffd));
  }
  drop(pending.endpoint, std::move(peer), reason);
}

void Pager::drop(Key endpoint, RefusedPeer peer, const std::string& reason) {
  if (peer.socket) {
    static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, peer.socket.get(), nullptr));
  }
  // If the peer's descriptors may not fit into the table, the kernel closes them during the
  // receive, which may block.
  if (descriptors_are_scarce(base::Fd(::fcntl(epoll_.get(), F_DUPFD_CLOEXEC, 0)).get() +
                             static_cast<int>(base::kMaxReceivedFds))) {
    closer_.post(endpoint,
                 [held = std::make_shared<RefusedPeer>(std::move(peer)), reason]() mutable {
                   held->settle(reason);
                   held.reset();
                 });
    return;
  }
  peer.settle(reason);
  closer_.take(endpoint, std::move(peer));
}

void Pager::refuse_all(const std::vector<Key>& handshakes, const std::string& reason) {
  for (const Key key : handshakes) {
    if (auto entry = pending_.extract(key); !entry.empty()) {
      const Key endpoint = entry.mapped().endpoint;
      refuse(std::move(entry.mapped()), reason);
      forget_if_done(endpoint);
    }
  }
}

void Pager::expire_handshakes() {
  const std::lock_guard lock(mutex_);
  while (!pending_.empty() && pending_.begin()->second.deadline.passed()) {
    refuse_all({pending_.begin()->first}, "no complete handshake within " +
                                              std::to_string(settings_.handshake_timeout.count()) +
                                              " ms");
  }
}

}  // namespace pager
