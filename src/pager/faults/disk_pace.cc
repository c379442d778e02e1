// SPDX-License-Identifier: Apache-2.0
// Sizes and pauses of reads, by the faults and by the time of earlier reads.
#include "pager/faults/disk_pace.h"

#include <algorithm>

namespace pager {

// Whether the guest has faulted since the last call.
bool DiskPace::look_for_faults(Clock::time_point now) {
  const uint64_t faults = counters_.get(Count::faults);
  if (faults == faults_) {
    return false;
  }
  faults_ = faults;
  last_fault_ = now;
  return true;
}

uint64_t DiskPace::next_bytes(Clock::time_point now) {
  const bool since = look_for_faults(now);
  busy_ = since || faulted_;
  faulted_ = false;
  const bool spread = rate_ > 0 && now - last_fault_ < kRecent;
  return std::min(most_, busy_ || spread ? kBusyBytes : bytes_);
}

// Finds the rate of the disk when a read shows that it is used up, and tries a higher one after
// each second without such a read.
void DiskPace::measure(uint64_t bytes, std::chrono::nanoseconds took, Clock::time_point now) {
  constexpr double kLeast = 256 << 10U;
  constexpr double kGrowth = 1.25;
  if (window_bytes_ == 0) {
    window_start_ = now - took;
  }
  window_bytes_ += bytes;
  const std::chrono::duration<double> window = now - window_start_;
  if (took > kRead) {
    bytes_ = std::max(kBusyBytes, bytes_ / 2);
    rate_ = std::max(kLeast, static_cast<double>(window_bytes_) / window.count() / kShare);
    window_bytes_ = 0;
  } else if (window > kRecent) {
    rate_ *= kGrowth;
    window_bytes_ = 0;
  }
  if (!busy_ && took < kRead / 2) {
    bytes_ = std::min(most_, bytes_ * 2);
  }
}

std::chrono::nanoseconds DiskPace::pause_after(uint64_t bytes, std::chrono::nanoseconds took,
                                               Clock::time_point now) {
  measure(bytes, took, now);
  faulted_ = look_for_faults(now);
  std::chrono::nanoseconds pause{0};
  if (busy_ || faulted_) {
    pause = took * kPauses;
  }
  if (rate_ > 0 && now - last_fault_ < kRecent) {
    const std::chrono::duration<double> share(static_cast<double>(bytes) / rate_);
    pause = std::max(pause, std::chrono::duration_cast<std::chrono::nanoseconds>(share) - took);
  }
  // A disk that hangs for minutes must not stop the thread for longer.
  constexpr std::chrono::milliseconds kLongest{200};
  return std::min<std::chrono::nanoseconds>(pause, kLongest);
}

}  // namespace pager
