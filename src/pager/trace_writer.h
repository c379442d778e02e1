// Writes a session's trace: its header once, then a line for each demand fault.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/fd.h"
#include "pager/region.h"

namespace pager {

// Buffered: written when there is nothing else to do. A trace that cannot be written ends with one
// warning; the guest is served on.
class TraceWriter {
 public:
  // Opens and empties `path`, "-" being standard output. Throws std::system_error.
  static TraceWriter open(const std::string& path);

  const std::string& path() const { return path_; }
  void start(std::span<const Region> regions, uint64_t memory_bytes);
  void fault(uint64_t page_in_file);
  // Writes what is buffered.
  void flush();

 private:
  TraceWriter(std::string path, base::Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::string path_;
  base::Fd fd_;
  std::string buffer_;
};

}  // namespace pager
