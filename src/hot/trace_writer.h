// SPDX-License-Identifier: Apache-2.0
// Writes a session's trace: its header once, then a line for each demand fault.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/background_writer.h"
#include "hot/region.h"

namespace hot {

// Never holds the guest's thread: the file is made and written by a thread of its own, through a
// queue. A trace that cannot be written, or whose queue is full, ends with one warning; the guest
// is served on. Belongs to one thread.
class TraceWriter {
 public:
  // Whether a trace can be written to `path` later ("-": standard output). Changes nothing. Throws
  // base::BadData for what exists and is not a regular file (links are not followed), or
  // std::system_error.
  static void check(const std::string& path);

  explicit TraceWriter(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  // Makes the file, under a temporary name, and gives it the name of the trace: an older trace is
  // replaced, not emptied under the session that may still write it. Then writes the header.
  void start(std::span<const Region> regions, uint64_t memory_bytes);
  void fault(uint64_t page_in_file);
  // Queues what is buffered.
  void flush();
  // At the end: waits until all is written, no longer than a second.
  void finish();

 private:
  void end(const std::string& why);

  std::string path_;
  std::unique_ptr<base::BackgroundWriter> writer_;  // null: not started, or ended
  std::string buffer_;
};

}  // namespace hot
