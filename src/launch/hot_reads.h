// SPDX-License-Identifier: Apache-2.0
// Reads the hot pages of a memory file into the page cache while its VMM starts.
#pragma once

#include <sys/types.h>

#include <string>

namespace launch {

// A process `hotpage-record readahead`. Its failure is not one of the run, and reported by itself.
class HotReads {
 public:
  HotReads() = default;
  // `lock_fd` is closed in the process.
  HotReads(const std::string& list, const std::string& memory, int lock_fd);
  // Ends the process.
  ~HotReads();
  HotReads(const HotReads&) = delete;
  HotReads(HotReads&&) = delete;
  HotReads& operator=(const HotReads&) = delete;
  HotReads& operator=(HotReads&&) = delete;

  // Waits until the reads are queued. Returns at once if no process reads.
  void await();

 private:
  pid_t child_ = 0;
};

}  // namespace launch
