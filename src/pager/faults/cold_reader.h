// SPDX-License-Identifier: Apache-2.0
// Reads cold pages of an image into the page cache, on a thread of its own.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "pager/faults/counters.h"
#include "pager/faults/disk_pace.h"
#include "pager/image/image.h"

namespace pager {

// The thread that answers faults must not wait for a disk on behalf of work that no fault waits
// for. It gives ranges to this class and installs a page once Image::residency() knows it. The
// thread of this class reads with the kernel's read-ahead switched off, so it reads what is listed
// and nothing else.
class ColdReader {
 public:
  struct Range {
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };
  // The largest read.
  static constexpr uint64_t kPiece = uint64_t{128} << 10U;
  enum class Pace {
    polite,  // leaves the disk to the faults of the guest (DiskPace)
    full,    // for what the guest will probably need next
  };

  // The image must outlive the object. `counters`: those of the session, to see its faults.
  ColdReader(const Image& image, const Counters& counters);
  // Ends the thread, and waits for its current read.
  ~ColdReader();
  ColdReader(const ColdReader&) = delete;
  ColdReader(ColdReader&&) = delete;
  ColdReader& operator=(const ColdReader&) = delete;
  ColdReader& operator=(ColdReader&&) = delete;

  // Replaces the ranges that are not read yet. Each is marked in Image::residency() when it is in
  // the page cache; also if it cannot be read, because the installer then reports the error.
  void read(std::vector<Range> ranges, Pace pace = Pace::polite);
  // Whether all ranges were read.
  bool idle() const;

 private:
  void run();
  bool next(Range& range, Pace& pace);
  void read_range(const Range& range, Pace pace);
  void read_piece(const Range& piece);
  void pause(std::chrono::nanoseconds time);

  const Image& image_;
  DiskPace disk_;
  base::Fd fd_;  // an open file of its own, because the kernel keeps the read-ahead mode there
  std::vector<std::byte> buffer_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Range> ranges_;
  size_t next_ = 0;  // of ranges_
  Pace pace_ = Pace::polite;
  bool idle_ = true;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace pager
