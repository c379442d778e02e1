// SPDX-License-Identifier: Apache-2.0
// Writing to a file that may block, without blocking whoever has something to write.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/fd.h"

namespace base {

// A thread opens a file and writes what is queued for it. A pipe that nobody reads, a terminal
// under Ctrl-S or a disk that does not answer holds that thread and nobody else: the queue fills,
// and write() says no. O_NONBLOCK would not do: it belongs to everybody who shares the open file,
// and regular files ignore it. Safe to use from any thread.
class BackgroundWriter {
 public:
  // What follows when a text cannot be written (a full disk, say).
  enum class OnError { end, skip };
  // `name` is the thread's, at most 15 bytes. `open` runs on the thread, and may block, or throw,
  // which ends the writing. Throws std::system_error when a thread cannot be started.
  BackgroundWriter(const char* name, size_t most_queued_bytes, OnError on_error,
                   std::function<Fd()> open);
  // Does not wait: the thread ends once it has written what is queued.
  ~BackgroundWriter();
  BackgroundWriter(const BackgroundWriter&) = delete;
  BackgroundWriter(BackgroundWriter&&) = delete;
  BackgroundWriter& operator=(const BackgroundWriter&) = delete;
  BackgroundWriter& operator=(BackgroundWriter&&) = delete;

  // Queues `text`, for one write(2). False when there is no room for it, or nothing is written any
  // longer: see failure(). Never blocks.
  bool write(std::string text);
  // Waits until all that was queued is written, or cannot be; no longer than `limit`. Returns
  // whether it is.
  bool drain(std::chrono::milliseconds limit);
  // The number of writes that were dropped since the last call.
  size_t take_skipped();
  // Why nothing is written any longer; empty while it is.
  std::string failure() const;

 private:
  struct State;
  static void run(State& state);

  std::shared_ptr<State> state_;
};

}  // namespace base
