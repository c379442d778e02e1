// SPDX-License-Identifier: Apache-2.0
// Starts threads for work on many items.
#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <utility>

namespace base {
namespace {

// Adds a thread. That can fail (RLIMIT_NPROC, pids.max of a cgroup, memory); then the existing
// threads do the work. `threads` has reserved space, so that no started thread is lost.
template <typename Function>
bool try_start(std::vector<std::thread>& threads, Function function) {
  try {
    threads.emplace_back(std::move(function));
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

}  // namespace

void for_each_index(int jobs, size_t count, const std::function<Work()>& make_work) {
  if (count == 0) {
    return;
  }
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  std::exception_ptr failure;  // written by the thread that sets `failed`
  const auto run = [&] {
    try {
      const Work work = make_work();
      for (size_t i = next++; i < count && !failed; i = next++) {
        work(i);
      }
    } catch (...) {
      if (!failed.exchange(true)) {
        failure = std::current_exception();
      }
    }
  };
  const size_t most = std::min(static_cast<size_t>(jobs), count) - 1;  // in addition to the caller
  std::vector<std::thread> helpers;
  helpers.reserve(most);
  while (helpers.size() < most && try_start(helpers, run)) {
  }
  run();
  for (std::thread& helper : helpers) {
    helper.join();
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
}

TaskPool::TaskPool(int jobs) : jobs_(static_cast<size_t>(jobs)) {}

TaskPool::~TaskPool() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
    queue_.clear();
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void TaskPool::submit(std::function<void()> task) {
  if (jobs_ == 1) {
    task();
    return;
  }
  std::unique_lock lock(mutex_);
  if (threads_.empty()) {
    threads_.reserve(jobs_);
    while (threads_.size() < jobs_ && try_start(threads_, [this] { run(); })) {
    }
  }
  if (threads_.empty()) {
    lock.unlock();
    task();
    return;
  }
  changed_.wait(lock, [this] { return queue_.size() < 2 * jobs_ || failure_; });
  rethrow();
  queue_.push_back(std::move(task));
  changed_.notify_all();
}

void TaskPool::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return (queue_.empty() && busy_ == 0) || failure_; });
  rethrow();
}

void TaskPool::rethrow() {
  if (failure_) {
    std::rethrow_exception(failure_);
  }
}

void TaskPool::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return !queue_.empty() || ending_; });
    if (queue_.empty()) {
      return;
    }
    std::function<void()> task = std::move(queue_.front());
    queue_.pop_front();
    ++busy_;
    lock.unlock();
    std::exception_ptr thrown;
    try {
      task();
    } catch (...) {
      thrown = std::current_exception();
    }
    task = nullptr;  // closes the descriptors that it holds
    lock.lock();
    --busy_;
    if (thrown && !failure_) {
      failure_ = thrown;
      queue_.clear();
    }
    changed_.notify_all();
  }
}

}  // namespace base
