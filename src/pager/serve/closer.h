// SPDX-License-Identifier: Apache-2.0
// Frees what may block while it is freed, on threads of its own.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace pager {

// close(2) may block for as long as a peer likes: a TCP socket with SO_LINGER, a file of a FUSE
// mount that does not answer. So what a peer has sent or opened (descriptors, its connection with
// what lies unread in it), memory files, and sessions that have ended are freed here: 5 ms for an
// image of 256 MiB, too.
//
// Bounds: kThreads threads in all, kThreadsPerOwner for one owner, so that a peer whose descriptors
// block holds up nobody else. At the bound, work waits; its descriptors stay open. The caller asks
// pending() before it takes more from that owner.
class Closer {
 public:
  static constexpr size_t kThreads = 32;
  static constexpr size_t kThreadsPerOwner = 2;
  using Owner = uint64_t;

  Closer();
  // Waits a second at most until all is freed. What blocks longer ends with the process.
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
  // What waits or is under way.
  size_t pending(Owner owner) const;

 private:
  struct State;
  static void run(const std::shared_ptr<State>& state);
  static void start_thread(const std::shared_ptr<State>& state);

  std::shared_ptr<State> state_;  // shared with the threads, which may outlive this object
};

}  // namespace pager
