// SPDX-License-Identifier: Apache-2.0
// A thread pool with a limit for each owner.
#include "pager/kernel/closer.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

namespace pager {

struct Closer::State {
  struct Task {
    Owner owner;
    std::function<void()> work;
  };

  std::mutex mutex;
  std::condition_variable changed;
  std::list<Task> waiting;
  std::map<Owner, size_t> running;
  size_t threads = 0;
  size_t idle = 0;
  bool stop = false;

  // The first task whose owner has fewer than kThreadsPerOwner running.
  std::list<Task>::iterator next() {
    return std::ranges::find_if(waiting, [this](const Task& task) {
      const auto busy = running.find(task.owner);
      return busy == running.end() || busy->second < kThreadsPerOwner;
    });
  }
  void has_run(Owner owner) {
    const auto busy = running.find(owner);
    if (--busy->second == 0) {
      running.erase(busy);
    }
  }
};

Closer::Closer() : state_(std::make_shared<State>()) {
  const std::lock_guard lock(state_->mutex);
  start_thread(state_);  // one thread always exists, even if no further one can start
}

Closer::~Closer() {
  constexpr std::chrono::seconds kLimit{1};
  std::unique_lock lock(state_->mutex);
  state_->stop = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, kLimit,
                           [this] { return state_->waiting.empty() && state_->running.empty(); });
}

void Closer::start_thread(const std::shared_ptr<State>& state) {
  std::thread(&Closer::run, state).detach();
  ++state->threads;
}

void Closer::post(Owner owner, std::function<void()> work) {
  const std::lock_guard lock(state_->mutex);
  state_->waiting.push_back({.owner = owner, .work = std::move(work)});
  call_thread(state_);
}

// Makes one thread inspect the list, if there is something to run. A thread that is still idle may
// have been called for another task, so each thread that takes a task calls one for the next.
void Closer::call_thread(const std::shared_ptr<State>& state) {
  if (state->next() == state->waiting.end()) {
    return;
  }
  if (state->idle == 0 && state->threads < kThreads) {
    try {
      start_thread(state);
    } catch (const std::system_error&) {
      // The task waits until a thread is free, or can be started for the next task.
    }
  }
  state->changed.notify_one();
}

size_t Closer::pending(Owner owner) const {
  const std::lock_guard lock(state_->mutex);
  const auto busy = state_->running.find(owner);
  return (busy == state_->running.end() ? 0 : busy->second) +
         static_cast<size_t>(std::ranges::count(state_->waiting, owner, &State::Task::owner));
}

void Closer::run(const std::shared_ptr<State>& state) {
  static_cast<void>(::pthread_setname_np(::pthread_self(), "freeing"));
  std::unique_lock lock(state->mutex);
  for (;;) {
    const auto task = state->next();
    if (task == state->waiting.end()) {
      if (state->stop || state->idle > 0) {
        --state->threads;
        state->changed.notify_all();
        return;
      }
      ++state->idle;
      state->changed.wait(lock);
      --state->idle;
      continue;
    }
    const Owner owner = task->owner;
    std::function<void()> work = std::move(task->work);
    state->waiting.erase(task);
    ++state->running[owner];
    call_thread(state);
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
    state->has_run(owner);
    state->changed.notify_all();
  }
}

}  // namespace pager
