// SPDX-License-Identifier: Apache-2.0
// Session: its descriptors for the keeper, and its state, which can move to another file.
#include <array>
#include <utility>

#include "pager/keep/message.h"
#include "pager/serve/session.h"

namespace pager {

// The caller holds orders_mutex_.
void Session::give_with_state(int state, const GiveDescriptors& give) const {
  if (released_) {
    return;
  }
  std::array<int, KeepMessage::kMostFds> fds{};
  fds[kept::kState] = state;
  fds[kept::kImage] = plan_.image->fd();
  fds[kept::kUffd] = uffd_.get();
  fds[kept::kSocket] = socket_.get();
  fds[kept::kPidfd] = vmm_.pidfd();
  give(std::span(fds).first(vmm_.pidfd() >= 0 ? fds.size() : fds.size() - 1));
}

void Session::with_descriptors(const GiveDescriptors& give) const {
  const std::lock_guard lock(orders_mutex_);
  give_with_state(mapping_->file(), give);
}

void Session::change_state(const std::function<void(SessionState& state)>& change) {
  const std::lock_guard lock(orders_mutex_);
  change(mapping_->state());
}

void Session::move_state(base::Fd file, GiveDescriptors give) {
  const std::lock_guard lock(orders_mutex_);
  order({.kind = Order::Kind::move_state, .file = std::move(file), .give = std::move(give)});
}

// The keeper gets either file under the lock, so it never has the old one after the move.
void Session::run_move(Order& order) {
  const std::lock_guard lock(orders_mutex_);
  try {
    mapping_->move_to(std::move(order.file),
                      [&](int state) { give_with_state(state, order.give); });
    log_.detail("its state was removed, and is in a new file");
  } catch (const std::exception& error) {
    // The keeper may have the copy, which the thread does not continue.
    give_with_state(mapping_->file(), order.give);
    log_.warn(error.what());
  }
}

}  // namespace pager
