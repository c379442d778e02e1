// SPDX-License-Identifier: Apache-2.0
// How Pager refuses peers, and what makes it refuse them.
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

// How many handshakes of one endpoint may be under way: of one VMM, which may have been started
// again, and of any number.
constexpr size_t kGreetingsOfOne = 16;
constexpr size_t kGreetingsOfMany = 256;

}  // namespace

base::Fd Pager::open_spare() {
  return base::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

// Numbers are given out from below, so a high one means that few are left: what is new is refused
// while those that are there, and requests about them, still get theirs.
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
    base::throw_error_number(EMFILE, "cannot accept another session: RLIMIT_NOFILE is " +
                                         std::to_string(limit.rlim_cur));
  }
}

// The connection would stay in the queue and wake run() forever, so it is accepted and closed.
void Pager::accept_without_descriptors(Waiting& waiting) {
  spare_.reset();
  try {
    if (std::optional<base::Fd> socket = waiting.listener.accept()) {
      closer_.take(0, std::move(*socket));
    }
  } catch (const std::system_error&) {
    // Another thread took the number; the next round tries again.
  }
  spare_ = open_spare();
}

// The oldest is refused: by now it was read, and has not sent its handshake.
void Pager::limit_greetings(Key place) {
  Waiting* waiting = place_of(place);
  const std::vector<Key> keys = greetings_of(place);
  if (waiting != nullptr &&
      keys.size() > (waiting->place.many ? kGreetingsOfMany : kGreetingsOfOne)) {
    refuse_all({keys.front()}, "others have connected since, and it has not sent its handshake");
  }
}

// The greeting is no longer in the table. `uffd` is the userfaultfd of its handshake, if that was
// whole.
void Pager::refuse(Greeting greeting, const std::string& reason, base::Fd uffd) {
  const Waiting& waiting = *place_of(greeting.place);
  RefusedPeer peer{.session = waiting.place.id,
                   .refusals = waiting.refusals,
                   .on_refusal = waiting.place.on_refusal,
                   .vmm = std::move(greeting.vmm),
                   .socket = std::move(greeting.socket),
                   .fds = greeting.reader.take_fds()};
  if (uffd) {
    peer.fds.push_back(std::move(uffd));
  }
  drop(greeting.place, std::move(peer), reason);
}

void Pager::drop(Key place, RefusedPeer peer, const std::string& reason) {
  if (peer.socket) {
    static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, peer.socket.get(), nullptr));
  }
  // Where its descriptors might not fit into the table, the kernel closes them while it receives.
  if (descriptors_are_scarce(base::Fd(::fcntl(epoll_.get(), F_DUPFD_CLOEXEC, 0)).get() +
                             static_cast<int>(base::kMaxReceivedFds))) {
    closer_.post(place, [held = std::make_shared<RefusedPeer>(std::move(peer)), reason]() mutable {
      held->settle(reason);
      held.reset();
    });
    return;
  }
  peer.settle(reason);
  closer_.take(place, std::move(peer));
}

void Pager::refuse_all(const std::vector<Key>& greetings, const std::string& reason) {
  for (const Key key : greetings) {
    if (auto entry = greetings_.extract(key); !entry.empty()) {
      const Key place = entry.mapped().place;
      refuse(std::move(entry.mapped()), reason);
      forget_if_done(place);
    }
  }
}

void Pager::refuse_late_greetings() {
  const std::lock_guard lock(mutex_);
  while (!greetings_.empty() && greetings_.begin()->second.deadline.passed()) {
    refuse_all(
        {greetings_.begin()->first},
        "no whole handshake within " + std::to_string(settings_.handshake_timeout.count()) + " ms");
  }
}

}  // namespace pager
