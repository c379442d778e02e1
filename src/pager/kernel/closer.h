// SPDX-License-Identifier: Apache-2.0
// Frees resources on separate threads, because freeing them may block.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace pager {

// A peer can make close(2) block for any time: a TCP socket with SO_LINGER, a file of a FUSE mount
// that does not answer. So descriptors and connections of peers, memory files, and sessions that
// have ended are freed here. Unmapping an image of 256 MiB takes 5 ms, too.
//
// There are at most kThreads threads, and kThreadsPerOwner of them work for one owner, so that a
// peer whose descriptors block delays no other owner. Beyond these limits, work waits and its
// descriptors stay open. The caller checks pending() before it accepts more from that owner.
class Closer {
 public:
  static constexpr size_t kThreads = 32;
  static constexpr size_t kThreadsPerOwner = 2;
  using Owner = uint64_t;

  Closer();
  // Waits at most one second for the work. Threads that block longer end with the process.
  ~Closer();
  Closer(const Closer&) = delete;
  Closer(Closer&&) = delete;
  Closer& operator=(const Closer&) = delete;
  Closer& operator=(Closer&&) = delete;

  // Destroys `thing`.
  template <typename T>
  void take(Owner owner, T thing) {
    post(owner, [holder = std::make_shared<T>(std::move(thing))]() mutable { holder.reset(); });
  }
  void post(Owner owner, std::function<void()> work);
  // The number of tasks of an owner that wait or run.
  size_t pending(Owner owner) const;

 private:
  struct State;
  static void run(const std::shared_ptr<State>& state);
  static void start_thread(const std::shared_ptr<State>& state);
  static void call_thread(const std::shared_ptr<State>& state);

  std::shared_ptr<State> state_;  // shared with the threads, which may outlive this object
};

}  // namespace pager
