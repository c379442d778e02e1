#include "clone/parallel.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace cloning {

void for_each_index(int jobs, size_t count, const std::function<Work()>& make_work) {
  if (count == 0) {
    return;
  }
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  std::exception_ptr failure;  // written by the one that sets `failed`
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
  std::vector<std::thread> helpers;
  for (size_t i = 1; i < std::min(static_cast<size_t>(jobs), count); ++i) {
    helpers.emplace_back(run);
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
    for (size_t i = 0; i < jobs_; ++i) {
      threads_.emplace_back([this] { run(); });
    }
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
    task = nullptr;  // closes what it holds
    lock.lock();
    --busy_;
    if (thrown && !failure_) {
      failure_ = thrown;
      queue_.clear();
    }
    changed_.notify_all();
  }
}

}  // namespace cloning
