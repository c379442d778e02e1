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
      disk_(counters, kPiece),
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

void ColdReader::read(std::vector<Range> ranges, Pace pace) {
  {
    const std::lock_guard lock(mutex_);
    ranges_ = std::move(ranges);
    next_ = 0;
    pace_ = pace;
    idle_ = false;
  }
  changed_.notify_all();
}

bool ColdReader::idle() const {
  const std::lock_guard lock(mutex_);
  return idle_;
}

bool ColdReader::next(Range& range, Pace& pace) {
  std::unique_lock lock(mutex_);
  idle_ = next_ >= ranges_.size();
  changed_.wait(lock, [this] { return stop_ || next_ < ranges_.size(); });
  if (stop_) {
    return false;
  }
  idle_ = false;
  range = ranges_[next_++];
  pace = pace_;
  return true;
}

void ColdReader::run() {
  ::pthread_setname_np(::pthread_self(), "cold pages");
  Range range;
  Pace pace = Pace::polite;
  while (next(range, pace)) {
    read_range(range, pace);
  }
}

void ColdReader::read_range(const Range& range, Pace pace) {
  using Clock = DiskPace::Clock;
  const bool polite = pace == Pace::polite;
  for (uint64_t done = 0; done < range.bytes;) {
    const uint64_t most = polite ? disk_.next_bytes(Clock::now()) : kPiece;
    const Range piece{.offset = range.offset + done, .bytes = std::min(range.bytes - done, most)};
    if (!image_.is_cached(piece.offset, piece.bytes)) {
      const Clock::time_point begin = Clock::now();
      read_piece(piece);
      image_.residency().mark(piece.offset, piece.bytes);
      const Clock::time_point end = Clock::now();
      if (polite) {
        pause(disk_.pause_after(piece.bytes, end - begin, end));
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

void ColdReader::pause(std::chrono::nanoseconds time) {
  if (time.count() == 0) {
    return;
  }
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [this] { return stop_; });
}

}  // namespace pager
