// SPDX-License-Identifier: Apache-2.0
// Pager: starts another keeper when that of this server has ended, and gives it everything.
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/error.h"
#include "base/message.h"
#include "pager/kernel/clock.h"
#include "pager/serve/pager.h"

namespace pager {

// The keeper kills a server whose main thread handles one round of events for too long.
void Pager::set_busy(bool busy) const {
  if (settings_.keeper != nullptr) {
    settings_.keeper->page().main_busy_ns.store(busy ? monotonic_ns() : 0,
                                                std::memory_order_relaxed);
  }
}

void Pager::give_service() const {
  if (settings_.keeper == nullptr) {
    return;
  }
  std::vector<int> fds{service_.fd()};
  fds.insert(fds.end(), settings_.service.begin(), settings_.service.end());
  settings_.keeper->hold(Kept::service, kServiceKey, 0, fds);
}

void Pager::give_endpoint(Key key, const Waiting& waiting) const {
  std::array<int, KeepMessage::kMostFds> fds{};
  fds[kept::kEndpointState] = waiting.state.fd();
  const int image = waiting.endpoint.image->fd();
  fds[kept::kEndpointImage] = waiting.kept_image ? waiting.kept_image.get() : image;
  fds[kept::kListener] = waiting.listener.fd();
  fds[kept::kListenerLock] = waiting.listener.lock();
  const size_t count = kept::kListenerLock + (waiting.listener.lock() >= 0 ? 1 : 0);
  settings_.keeper->hold(Kept::endpoint, key, 0, std::span(fds).first(count));
}

// The service comes last: a keeper that does not have it has not everything.
void Pager::give_everything() {
  KeeperLink& keeper = *settings_.keeper;
  for (const auto& [key, connected] : connected_) {
    connected.session->with_descriptors(
        [&, key = key, parent = connected.endpoint](std::span<const int> fds) {
          keeper.hold(Kept::session, key, parent, fds);
        });
  }
  for (const auto* endpoints : {&endpoints_.waiting(), &endpoints_.leaving()}) {
    for (const auto& [key, waiting] : *endpoints) {
      give_endpoint(key, waiting);
    }
  }
  for (const auto& [key, pending] : endpoints_.pending()) {
    keeper.hold(Kept::connection, key, pending.endpoint, std::array{pending.socket.get()});
  }
  give_service();
  keeper.given();
  base::say_info("the new keeper (" + std::to_string(keeper.page().keeper_pid) +
                 ") holds everything");
}

// A hang-up is always reported.
void Pager::watch_keeper() const {
  struct epoll_event event {};
  event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
  event.data.u64 = kKeeperKey;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, settings_.keeper->fd(), &event) != 0) {
    base::throw_errno("cannot watch the keeper");
  }
}

void Pager::check_keeper() {
  if (settings_.keeper == nullptr) {
    return;
  }
  switch (settings_.keeper->check()) {
    case KeeperLink::Health::linked:
      return;
    case KeeperLink::Health::runs: {
      const std::lock_guard lock(mutex_);
      keeper_again_ = base::Deadline::never();
      keeper_failures_ = 0;
      give_everything();
      return;
    }
    case KeeperLink::Health::starts:
      if (!keeper_again_.passed()) {
        return;
      }
      break;
    case KeeperLink::Health::lost:
      if (!keeper_again_.is_never() && !keeper_again_.passed()) {
        return;
      }
      break;
  }
  start_keeper();
}

void Pager::start_keeper() {
  constexpr std::chrono::milliseconds kStarts{2000};
  constexpr std::chrono::milliseconds kEnds{5};
  constexpr unsigned kMostDoublings = 12;  // 4 s
  try {
    if (settings_.keeper->start_keeper(settings_.options)) {
      watch_keeper();
      ++keeper_failures_;
      keeper_again_ = base::Deadline::after(std::max(
          kStarts, std::chrono::milliseconds(1U << std::min(keeper_failures_, kMostDoublings))));
    } else {
      keeper_again_ = base::Deadline::after(kEnds);
    }
  } catch (const std::exception& error) {
    if (keeper_failures_++ == 0) {
      base::say_warning(std::string(error.what()) + "; the server tries again");
    }
    keeper_again_ = base::Deadline::after(
        std::chrono::milliseconds(1U << std::min(keeper_failures_, kMostDoublings)));
  }
}

void Pager::say_goodbye() {
  if (settings_.keeper != nullptr) {
    settings_.keeper->say_goodbye(kServiceKey);
  }
}

}  // namespace pager
