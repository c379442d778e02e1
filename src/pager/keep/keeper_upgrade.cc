// SPDX-License-Identifier: Apache-2.0
// The keeper: which server serves next, and upgrades.
#include <cerrno>
#include <csignal>
#include <string>
#include <utility>

#include "base/message.h"
#include "pager/keep/keeper.h"

namespace pager {

// The process before it has ended.
void Keeper::promote() {
  active_ = upgrade_.take_server(held_);
  if (!active_ && successor_ && !successor_->is_retired) {
    active_ = std::exchange(successor_, std::nullopt);
  }
  if (!active_) {
    return;
  }
  for (const auto& [key, thing] : held_) {
    if (thing.kind == Kept::connection) {
      active_->queue(key);
    }
  }
  page_.main_busy_ns = 0;
  page_.server_pid = static_cast<uint64_t>(active_->pid());
  active_->queue_go(++page_.generation, page_fd_.get());
  active_->flush(held_);
  hangs_.stop();  // until it is ready
  const std::string text = "process " + std::to_string(active_->pid()) + " serves its guests";
  if (upgrade_.is_trial()) {
    base::say_info("upgrade: " + text);
  } else {
    base::say_warning(text);
  }
}

// Returns 0 or an errno.
int Keeper::begin_upgrade(ReceivedMessage& request, bool lost) {
  if (lost || request.fds.size() != 1) {
    return EMFILE;
  }
  if (!active_->is_ready || hung_) {
    return EBUSY;
  }
  return upgrade_.begin(std::move(request.fds.front()), program_, held_);
}

// The server that serves is ready. If it is on trial, its program replaces the old one.
void Keeper::end_upgrade() {
  if (!upgrade_.is_trial()) {
    return;
  }
  program_ = upgrade_.succeed();
  if (successor_) {
    successor_->is_retired = true;
    successor_->kill(SIGKILL);
  }
}

void Keeper::handle_upgrade() {
  upgrade_.reap();
  const bool is_trial = upgrade_.is_trial();
  if (upgrade_.handle_timeout() && active_) {
    hung_ = is_trial;
    kill_active();
  }
}

}  // namespace pager
