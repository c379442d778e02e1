// SPDX-License-Identifier: Apache-2.0
// Calls of a page server to its keeper, and the wait of a successor.
#include "pager/keep/keeper_link.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/message.h"
#include "base/unix_socket.h"
#include "pager/faults/state_versions.h"
#include "pager/kernel/clock.h"

namespace pager {

using Type = KeepMessage::Type;

KeeperLink::KeeperLink(base::Fd socket) : socket_(std::move(socket)) {
  const StateVersions versions = state_versions();
  const int error = send_message(
      socket_.get(), {.type = Type::hello, .key = versions.oldest, .value = versions.newest}, {});
  if (error != 0) {
    base::throw_error_number(error, "cannot reach the keeper");
  }
}

std::optional<HeldThings> KeeperLink::wait_to_serve(const Preparation& preparation) {
  HeldThings held;
  for (;;) {
    base::wait_for(socket_.get(), POLLIN, base::Deadline::never());
    std::optional<ReceivedMessage> received;
    try {
      received = receive_message(socket_.get());
    } catch (const base::BadData& error) {
      base::say_detail(error.what());
      return std::nullopt;
    }
    if (!received) {
      continue;
    }
    const KeepMessage& message = received->message;
    if (message.type == Type::go) {
      generation_ = message.value;
      page_fd_ = received->fds.empty() ? base::Fd() : std::move(received->fds.front());
      page_ = &map_keeper_page(page_fd_.get());
      identify_keeper();
      return held;
    }
    if (message.type == Type::hold) {
      HeldThing& thing = held[message.key];
      HeldThing before = std::exchange(
          thing, {.kind = message.kind, .parent = message.parent, .fds = std::move(received->fds)});
      preparation.discard(message.key, std::move(before));
      preparation.prepare(message.key, thing);
    } else if (message.type == Type::drop) {
      if (auto thing = held.extract(message.key)) {
        preparation.discard(message.key, std::move(thing.mapped()));
      }
    } else if (message.type == Type::check) {
      const KeepMessage answer{.type = Type::checked, .value = preparation.problems()};
      static_cast<void>(send_message(socket_.get(), answer, {}));
    }
  }
}

void KeeperLink::ready(uint64_t replayed) {
  page_->ready_ns.store(monotonic_ns(), std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  if (!lost_ && send_message(socket_.get(), {.type = Type::ready, .value = replayed}, {}) != 0) {
    lose("it does not answer");
  }
}

void KeeperLink::lose(const char* why) {
  lost_ = true;
  ::shutdown(socket_.get(), SHUT_RDWR);  // wakes the thread that calls check()
  base::say_warning(std::string("the keeper is lost: ") + why +
                    "; the server serves on, and starts another one");
}

// The caller holds mutex_.
std::optional<ReceivedMessage> KeeperLink::call(const KeepMessage& message,
                                                std::span<const int> fds, bool* descriptors_lost) {
  if (lost_) {
    return std::nullopt;
  }
  const base::Deadline deadline = base::Deadline::after(std::chrono::milliseconds(kTimeoutMs));
  int error = send_message(socket_.get(), message, fds);
  while (error == EAGAIN && base::wait_for(socket_.get(), POLLOUT, deadline)) {
    error = send_message(socket_.get(), message, fds);
  }
  if (error != 0) {
    lose(error == EAGAIN ? "it does not answer" : "it has ended");
    return std::nullopt;
  }
  try {
    while (base::wait_for(socket_.get(), POLLIN, deadline)) {
      if (std::optional<ReceivedMessage> reply = receive_message(socket_.get(), descriptors_lost);
          reply && reply->message.type == Type::reply) {
        return reply;
      }
    }
    lose("it does not answer");
  } catch (const std::exception& problem) {
    lose(problem.what());
  }
  return std::nullopt;
}

bool KeeperLink::hold(Kept kind, uint64_t key, uint64_t parent, std::span<const int> fds) {
  const std::lock_guard lock(mutex_);
  const auto reply = call({.type = Type::hold, .kind = kind, .key = key, .parent = parent}, fds);
  if (reply && reply->message.value != 0 && !std::exchange(refusal_logged_, true)) {
    base::say_warning("the keeper cannot hold more: " +
                      std::generic_category().message(static_cast<int>(reply->message.value)) +
                      "; what is served from now on does not survive the death of the server");
  }
  return reply && reply->message.value == 0;
}

void KeeperLink::drop(uint64_t key) {
  const std::lock_guard lock(mutex_);
  call({.type = Type::drop, .key = key}, {});
}

std::optional<KeeperLink::Accepted> KeeperLink::accept(uint64_t endpoint, uint64_t key) {
  const std::lock_guard lock(mutex_);
  bool descriptors_lost = false;  // this process has no descriptor left
  auto reply = call({.type = Type::accept, .key = key, .value = endpoint}, {}, &descriptors_lost);
  if (!reply) {
    return std::nullopt;
  }
  if (descriptors_lost) {
    call({.type = Type::drop, .key = key}, {});
    return Accepted{.error = EMFILE, .socket = {}};
  }
  Accepted accepted{.error = static_cast<int>(reply->message.value), .socket = {}};
  if (!reply->fds.empty()) {
    accepted.socket = std::move(reply->fds.front());
  }
  return accepted;
}

int KeeperLink::upgrade(int program) {
  const std::lock_guard lock(mutex_);
  const auto reply = call({.type = Type::upgrade}, std::span(&program, 1));
  return reply ? static_cast<int>(reply->message.value) : EPIPE;
}

}  // namespace pager
