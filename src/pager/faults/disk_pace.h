// SPDX-License-Identifier: Apache-2.0
// How a thread that reads ahead shares the disk with the faults of its guest.
#pragma once

#include <chrono>
#include <cstdint>

#include "pager/faults/counters.h"

namespace pager {

// A read of a fault may wait behind one read of this thread, so each read takes at most kRead, as
// far as earlier reads predict. After a read during which the guest faulted, the next has
// kBusyBytes, and the thread pauses for kPauses times the duration of the read: it uses at most a
// quarter of the time of the disk.
//
// A disk that limits bytes or operations a second is fast until its budget is used up, and then a
// fault waits for the next budget, about 100 ms with blkio.throttle. A read that takes longer than
// kRead shows that. From then on, while the guest has faulted in the last kRecent, reads are spread
// evenly, at a quarter of the rate that the disk had. Belongs to one thread.
class DiskPace {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr uint64_t kBusyBytes = uint64_t{16} << 10U;
  static constexpr int kPauses = 3;
  static constexpr int kShare = 4;
  static constexpr std::chrono::milliseconds kRead{4};
  static constexpr std::chrono::seconds kRecent{1};

  // `counters`: those of the session, to see its faults. `most`: the largest read.
  DiskPace(const Counters& counters, uint64_t most) : counters_(counters), most_(most) {}

  // The length of the next read.
  uint64_t next_bytes(Clock::time_point now);
  // How long to pause after that read, which has read `bytes` and ended now.
  std::chrono::nanoseconds pause_after(uint64_t bytes, std::chrono::nanoseconds took,
                                       Clock::time_point now);

 private:
  bool look_for_faults(Clock::time_point now);
  void measure(uint64_t bytes, std::chrono::nanoseconds took, Clock::time_point now);

  const Counters& counters_;
  uint64_t most_;
  uint64_t bytes_ = uint64_t{64} << 10U;  // of a read that takes about kRead
  uint64_t faults_ = 0;
  Clock::time_point last_fault_{};
  bool busy_ = false;     // at the last next_bytes()
  bool faulted_ = false;  // between that and pause_after()
  double rate_ = 0;       // bytes a second; 0: not limited
  Clock::time_point window_start_{};
  uint64_t window_bytes_ = 0;
};

}  // namespace pager
