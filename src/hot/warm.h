// SPDX-License-Identifier: Apache-2.0
// Reads the hot pages of a memory file into the page cache, waits for them, and drops or locks
// them.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

#include "base/fd.h"
#include "hot/readahead.h"

namespace hot {

struct Warmed {
  uint64_t pages = 0;   // of the list, in units of kSmallPage
  uint64_t cached = 0;  // of these, in the page cache before; 0 if base::may_use_mincore is false
  uint64_t bytes_read = 0;
};

// A memory file that is open and mapped. Throws std::system_error.
class WarmFile {
 public:
  explicit WarmFile(const std::string& path);
  ~WarmFile();
  WarmFile(const WarmFile&) = delete;
  WarmFile(WarmFile&&) = delete;
  WarmFile& operator=(const WarmFile&) = delete;
  WarmFile& operator=(WarmFile&&) = delete;

  // Reads the ranges, which must be sorted, in large reads, and waits for them. Ranges that are
  // cached are not read. Pages are counted before anything is read.
  Warmed warm(std::span<const FileRange> ranges) const;
  // Removes the ranges from the page cache, as far as no process maps, writes or locks them.
  // Returns how many pages were there.
  uint64_t drop(std::span<const FileRange> ranges) const;
  // Keeps the ranges in memory until the object is destroyed.
  void lock(std::span<const FileRange> ranges) const;

 private:
  uint64_t cached_pages(const FileRange& range) const;

  std::string path_;
  base::Fd fd_;
  std::span<const std::byte> mapped_;
};

}  // namespace hot
