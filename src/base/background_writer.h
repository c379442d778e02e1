// SPDX-License-Identifier: Apache-2.0
// Writes to a file that may block, without blocking the caller.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/fd.h"

namespace base {

// A thread opens a file and writes the queued data to it. A pipe that nobody reads, a terminal
// under Ctrl-S, or a disk that does not respond blocks that thread only: the queue fills, and
// write() returns false. O_NONBLOCK is not an alternative: it applies to all processes that share
// the open file, and regular files ignore it. Safe to use from any thread.
class BackgroundWriter {
 public:
  // What to do if a write fails (for example on a full disk).
  enum class OnError { end, skip };
  // `name` is the name of the thread, at most 15 bytes. `open` runs on the thread. It may block;
  // if it throws, writing ends. Throws std::system_error if the thread cannot be started.
  BackgroundWriter(const char* name, size_t most_queued_bytes, OnError on_error,
                   std::function<Fd()> open);
  // Does not wait: the thread ends once it has written the queued data.
  ~BackgroundWriter();
  BackgroundWriter(const BackgroundWriter&) = delete;
  BackgroundWriter(BackgroundWriter&&) = delete;
  BackgroundWriter& operator=(const BackgroundWriter&) = delete;
  BackgroundWriter& operator=(BackgroundWriter&&) = delete;

  // Queues `text` for one write(2). Returns false if the queue is full or writing has ended (see
  // failure()). Never blocks.
  bool write(std::string text);
  // Waits until all queued data is written or cannot be written, at most for `limit`. Returns
  // whether it is done.
  bool drain(std::chrono::milliseconds limit);
  // Returns the number of writes dropped since the last call.
  size_t take_skipped();
  // Returns why writing has ended; empty while it continues.
  std::string failure() const;

 private:
  struct State;
  static void run(State& state);

  std::shared_ptr<State> state_;
};

}  // namespace base
