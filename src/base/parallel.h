// SPDX-License-Identifier: Apache-2.0
// The same work on many things, by several threads.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cloning {

// Calls work(i) for every i below `count`, in order of i, from up to `jobs` threads; each takes its
// `work` from make_work first, so that it may hold a buffer of its own. With one job, or one i, or
// where no thread can be started, all is done by the caller. The first exception stops the others
// before their next i and is rethrown.
using Work = std::function<void(size_t)>;
void for_each_index(int jobs, size_t count, const std::function<Work()>& make_work);

// Threads that do tasks in the order in which they come. With one job, or where no thread can be
// started, the caller of submit does the task.
class TaskPool {
 public:
  explicit TaskPool(int jobs);
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;
  TaskPool(TaskPool&&) = delete;
  TaskPool& operator=(TaskPool&&) = delete;
  // Tasks that have not begun are dropped.
  ~TaskPool();

  // Waits while many are queued: each may hold descriptors. Throws what an earlier task threw.
  void submit(std::function<void()> task);
  // Until all are done. Throws what the first to fail threw.
  void wait();

 private:
  void run();
  void rethrow();

  const size_t jobs_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  size_t busy_ = 0;
  bool ending_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace cloning
