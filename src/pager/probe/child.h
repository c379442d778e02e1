// SPDX-License-Identifier: Apache-2.0
// A child process that can be killed when a deadline passes.
#pragma once

#include <sys/types.h>

#include <functional>

#include "base/deadline.h"
#include "base/fd.h"

namespace pager {

// A fork of this process, for work that may hang in the kernel: a thread that waits in a page fault
// can only be killed. The child dies with its parent, at the latest when the Child is destroyed.
class Child {
 public:
  // `body` runs in the child. When it returns, the child exits with 0. It must not throw or write
  // to standard output. It calls `say_done`, its argument, when the parent need not wait any
  // longer. The caller must not have other threads. Throws std::system_error.
  explicit Child(const std::function<void(const std::function<void()>& say_done)>& body);
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  pid_t pid() const { return pid_; }
  // Waits until the child calls say_done or ends. Returns false if the deadline passes first.
  bool wait_done(const base::Deadline& deadline) const;
  // Kills the child if it still runs, waits for its end, and returns the wait status.
  int end();
  // As end(), but without a kill: for a child that has called say_done or ended.
  int reap();

 private:
  pid_t pid_ = -1;
  base::Fd done_;
};

// Binds this thread, and those that it starts, to one CPU. Throws std::system_error.
void run_on_cpu(int cpu);

}  // namespace pager
