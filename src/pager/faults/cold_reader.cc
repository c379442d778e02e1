// SPDX-License-Identifier: Apache-2.0
// The thread of ColdReader. Measured with a disk limited to 8 MiB/s: readahead(2) and io_uring
// queue more than the disk can read, and demand reads wait behind it; one blocking read at a time
// leaves the disk to them in between.
#include "pager/faults/cold_reader.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

namespace pager {

ColdReader::ColdReader(const Image& image, const Counters& counters)
    : image_(image),
      counters_(counters),
      fd_(::open(("/proc/self/fd/" + std::to_string(image.fd())).c_str(), O_RDONLY | O_CLOEXEC)),
      buffer_(kPiece) {
  if (fd_) {
    ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_RANDOM);
  }
  thread_ = std::thread(&ColdReader::run, this);
}

ColdReader::~ColdReader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ColdReader::read(std::vector<Range> ranges) {
  {
    const std::lock_guard lock(mutex_);
    ranges_ = std::move(ranges);
    next_ = 0;
  }
  changed_.notify_all();
}

bool ColdReader::next(Range& range) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stop_ || next_ < ranges_.size(); });
  if (stop_) {
    return false;
  }
  range = ranges_[next_++];
  return true;
}

void ColdReader::run() {
  ::pthread_setname_np(::pthread_self(), "cold pages");
  Range range;
  while (next(range)) {
    read_range(range);
  }
}

void ColdReader::read_range(const Range& range) {
  for (uint64_t done = 0; done < range.bytes;) {
    const uint64_t faults = counters_.get(Count::faults);
    const bool busy = std::exchange(faults_seen_, faults) != faults;
    const Range piece{.offset = range.offset + done,
                      .bytes = std::min(range.bytes - done, busy ? kBusyPiece : kPiece)};
    if (!image_.is_cached(piece.offset, piece.bytes)) {
      const auto begin = std::chrono::steady_clock::now();
      read_piece(piece);
      const auto took = std::chrono::steady_clock::now() - begin;
      image_.residency().mark(piece.offset, piece.bytes);
      if (busy || counters_.get(Count::faults) != faults) {
        pause(took * kPauses);
      }
    }
    done += piece.bytes;
  }
}

void ColdReader::read_piece(const Range& piece) {
  if (!fd_) {
    static_cast<void>(image_.read_at(piece.offset, std::span(buffer_).first(piece.bytes)));
    return;
  }
  for (uint64_t done = 0; done < piece.bytes;) {
    const ssize_t got = ::pread(fd_.get(), buffer_.data(), piece.bytes - done,
                                static_cast<off_t>(piece.offset + done));
    if (got <= 0) {
      return;
    }
    done += static_cast<uint64_t>(got);
  }
}

// A disk that hangs for minutes must not stop the list for longer.
void ColdReader::pause(std::chrono::nanoseconds time) {
  constexpr std::chrono::milliseconds kLongest{200};
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::min<std::chrono::nanoseconds>(time, kLongest),
                    [this] { return stop_; });
}

}  // namespace pager
