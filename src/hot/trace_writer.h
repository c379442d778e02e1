// SPDX-License-Identifier: Apache-2.0
// Writes the trace of a session: one header, then one line for each page that faulted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/background_writer.h"
#include "base/fd.h"
#include "hot/region.h"

namespace hot {

// Never blocks the thread that serves the guest: a separate thread creates and writes the file, fed
// by a queue. If the trace cannot be written or the queue is full, the trace ends with one warning
// and the guest is still served. An object belongs to one thread.
class TraceWriter {
 public:
  // Checks that a trace can be written to `path` later ("-": standard output). Changes nothing.
  // Throws base::BadData if `path` exists and is not a regular file (links are not followed), or
  // std::system_error.
  static void check(const std::string& path);

  explicit TraceWriter(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  // Creates the file under a temporary name, renames it to the name of the trace, and writes the
  // header. An older trace is replaced and never truncated, because another session may still write
  // to it.
  void start(std::span<const Region> regions, uint64_t memory_bytes);
  // Instead of start(): continues the trace of a server that was killed, after its last whole line.
  // A trace on standard output ends, with a message in the log.
  void resume(std::span<const Region> regions, uint64_t memory_bytes);
  // Only the first fault of a page is written, so that a guest that discards pages and touches them
  // again does not make the trace grow.
  void fault(uint64_t page_in_file);
  // `count` pages from `first` on are installed by a hot list, so they will not fault.
  void listed(uint64_t first, uint64_t count);
  // Ends a phase of the trace. `name` must pass is_mark_name.
  void mark(std::string_view name);
  // Moves the buffered lines into the queue.
  void flush();
  // Waits until everything is written, for at most one second. Called at the end.
  void finish();

 private:
  void note_pages(std::span<const Region> regions, uint64_t memory_bytes);
  void start_writer(std::function<base::Fd()> open);
  void end(const std::string& why);
  void append_line(std::string_view line);

  std::string path_;
  std::unique_ptr<base::BackgroundWriter> writer_;  // null: not started, or ended
  std::string buffer_;
  std::vector<bool> seen_;  // a bit for each page of the memory file
};

}  // namespace hot
