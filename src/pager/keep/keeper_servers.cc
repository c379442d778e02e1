// SPDX-License-Identifier: Apache-2.0
// The keeper: which server serves next, and upgrades.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <system_error>
#include <utility>

#include "base/message.h"
#include "pager/keep/keeper.h"
#include "pager/kernel/clock.h"

namespace pager {

void Keeper::start_first() {
  store_.hold_page(page_fd_.get());
  if (active_) {
    return;  // it has started this process
  }
  if (!held_.empty()) {
    base::say_warning("continues with what the service manager has stored for an earlier keeper");
    page_.generation = std::max<uint64_t>(page_.generation, 1);
    page_.ended_ns = monotonic_ns();
    page_.ready_ns = 0;
    ++page_.restarts;
    page_.reason = RestartReason::killed;
    page_.signal = SIGKILL;
    start_successor();
    promote();
  } else {
    page_.generation = 1;
    active_ = KeptServer::start(program_, false);
    page_.server_pid = static_cast<uint64_t>(active_->pid());
    active_->queue_go(1, page_fd_.get());
  }
  program_.first_only.clear();  // a reader of --ready-fd sees its end
}

// Starts a server that waits.
void Keeper::start_successor() {
  try {
    successor_ = KeptServer::start(program_, true);
  } catch (const std::system_error& error) {
    constexpr std::chrono::milliseconds kAgain{100};
    base::say_warning(std::string(error.what()) + "; the keeper tries again");
    start_at_ = base::Deadline::after(kAgain);
    return;
  }
  for (const auto& [key, thing] : held_) {
    if (thing.kind != Kept::connection) {
      successor_->queue(key);
    }
  }
}

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
