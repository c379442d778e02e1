// SPDX-License-Identifier: Apache-2.0
// Runs the same work on many items with several threads.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace base {

// Calls work(i) for every i below `count`, in order of i, from up to `jobs` threads. Each thread
// first gets its `work` from make_work, so that it may have its own buffer. With one job, with one
// i, or if no thread can be started, the caller does everything. The first exception stops the
// other threads before their next i and is rethrown.
using Work = std::function<void(size_t)>;
void for_each_index(int jobs, size_t count, const std::function<Work()>& make_work);

// Threads that run tasks in the order of submission. With one job, or if no thread can be started,
// the caller of submit runs the task.
class TaskPool {
 public:
  explicit TaskPool(int jobs);
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;
  TaskPool(TaskPool&&) = delete;
  TaskPool& operator=(TaskPool&&) = delete;
  // Drops tasks that have not begun.
  ~TaskPool();

  // Waits while the queue is long, because each task may hold descriptors. Throws what an earlier
  // task threw.
  void submit(std::function<void()> task);
  // Waits until all tasks are done. Throws what the first failed task threw.
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

}  // namespace base
