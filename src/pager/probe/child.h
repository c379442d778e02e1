// SPDX-License-Identifier: Apache-2.0
// A child process that a watchdog can give up on.
#pragma once

#include <sys/types.h>

#include <functional>

#include "base/deadline.h"
#include "base/fd.h"

namespace pager {

// A fork of this process, for work that may hang in the kernel. It dies with its parent, and at the
// end of the Child at the latest; a thread that waits in a page fault can be killed.
class Child {
 public:
  // `body` runs in the child; the child ends, with status 0, when it returns. It must not throw, or
  // write to standard output. It calls `say_done`, its argument, when the parent need wait no
  // longer. The caller must have no other threads. Throws std::system_error.
  explicit Child(const std::function<void(const std::function<void()>& say_done)>& body);
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  pid_t pid() const { return pid_; }
  // Waits until it has said that it is done, or ended. False when the deadline passed first.
  bool wait_done(const base::Deadline& deadline) const;
  // Kills it if it still lives, waits for its end, and returns the wait status.
  int end();
  // The same for one that has called say_done or has closed: waits for its own end, without a kill.
  int reap();

 private:
  pid_t pid_ = -1;
  base::Fd done_;
};

// Keeps this thread, and those that it starts, on one CPU. Throws std::system_error.
void run_on_cpu(int cpu);

}  // namespace pager
