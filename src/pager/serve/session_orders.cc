// SPDX-License-Identifier: Apache-2.0
// Session: what clients order, and how its thread carries it out.
#include <utility>

#include "pager/faults/fault_loop.h"
#include "pager/kernel/event_fd.h"
#include "pager/serve/session.h"

namespace pager {

void Session::order(Order order) {
  orders_.push_back(std::move(order));
  has_orders_.store(true, std::memory_order_release);
  signal_event(wake_.get());
}

std::shared_ptr<const Completion> Session::completion() const {
  const std::lock_guard lock(orders_mutex_);
  return completion_;
}

std::shared_ptr<Completion> Session::complete(uint64_t bytes_per_second, bool wait) {
  const std::lock_guard lock(orders_mutex_);
  const auto state = completion_ ? completion_->state() : Completion::State::failed;
  if (state == Completion::State::running && completion_->waited()) {
    return nullptr;
  }
  if (state == Completion::State::done) {
    return completion_;  // a repeated request is not an error
  }
  completion_ = std::make_shared<Completion>(bytes_per_second, wait);
  if (detached_) {
    completion_->set(Completion::State::done);
  } else if (ended()) {
    completion_->set(Completion::State::failed, "session closed before completion");
  } else {
    order({.kind = Order::Kind::complete, .completion = completion_});
  }
  return completion_;
}

std::string Session::trace_path() const {
  const std::lock_guard lock(orders_mutex_);
  return trace_path_;
}

std::shared_ptr<const HotFile> Session::hot_list() const {
  const std::lock_guard lock(orders_mutex_);
  return hot_list_;
}

bool Session::prefetch(std::shared_ptr<const HotFile> list) {
  const std::lock_guard lock(orders_mutex_);
  if (list) {
    if (hot_lists_given_ - counters_.get(Count::hot_lists_ended) >= SessionState::kHotLists) {
      return false;
    }
    ++hot_lists_given_;
    hot_list_ = list;
  }
  order({.kind = Order::Kind::prefetch, .list = std::move(list)});
  return true;
}

void Session::pause() {
  const std::lock_guard lock(orders_mutex_);
  order({.kind = Order::Kind::pause});
}

bool Session::mark(std::string name) {
  const std::lock_guard lock(orders_mutex_);
  if (traced_) {
    order({.kind = Order::Kind::mark, .text = std::move(name)});
  }
  return traced_;
}

bool Session::trace(std::string path) {
  const std::lock_guard lock(orders_mutex_);
  if (traced_ != path.empty()) {
    return false;
  }
  traced_ = !path.empty();
  trace_path_ = path;
  order({.kind = Order::Kind::trace, .text = std::move(path)});
  return true;
}

// The trace begins with the pages that are installed already, as pages of a list: they will not
// fault.
void Session::begin_trace(FaultLoop& loop, const std::string& path) {
  plan_.trace.emplace(path);
  plan_.trace->start(regions_, plan_.image->size());
  loop.set_trace(&*plan_.trace, plan_.serving.window_of(true));
  mapping_->state().trace.set(path);
}

void Session::end_trace(FaultLoop& loop) {
  loop.set_trace(nullptr, plan_.serving.window_of(false));
  mapping_->state().trace.set("");
  if (plan_.trace) {
    plan_.trace->finish();
    plan_.trace.reset();
  }
}

void Session::run_orders(FaultLoop& loop) {
  std::vector<Order> orders;
  {
    const std::lock_guard lock(orders_mutex_);
    clear_event(wake_.get());
    has_orders_.store(false, std::memory_order_relaxed);
    orders.swap(orders_);
  }
  for (Order& order : orders) {
    switch (order.kind) {
      case Order::Kind::complete:
        loop.complete(std::move(order.completion));
        break;
      case Order::Kind::prefetch:
        loop.prefetch(std::move(order.list));
        break;
      case Order::Kind::pause:
        loop.pause();
        break;
      case Order::Kind::resume_lists:
        loop.resume_hot_lists(order.lists);
        break;
      case Order::Kind::move_state:
        run_move(order);
        break;
      case Order::Kind::mark:
        if (plan_.trace) {
          plan_.trace->mark(order.text);
        }
        break;
      case Order::Kind::trace:
        if (order.text.empty()) {
          end_trace(loop);
        } else {
          begin_trace(loop, order.text);
        }
        break;
    }
  }
}

// A completion that was requested while the previous one finished is done, too.
void Session::mark_detached() {
  const std::lock_guard lock(orders_mutex_);
  detached_ = true;
  if (completion_) {
    completion_->set(Completion::State::done);
  }
}

}  // namespace pager
