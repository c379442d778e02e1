// SPDX-License-Identifier: Apache-2.0
// A guest that verifies its memory, and measures how long it waits, while page servers are killed.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "pager/probe/histogram.h"
#include "pager/probe/record.h"

namespace pager {

// Shared by the kill test and its guests. The time is written before the number, and both before
// the kill.
struct KillRecord {
  std::atomic<uint64_t> kills{0};
  std::atomic<uint64_t> killed_at_ns{0};
  std::atomic<bool> stop{false};  // after the current VMM
};

struct WrongWord {
  uint64_t page = 0;
  uint64_t word = 0;
  uint64_t expected = 0;
  uint64_t found = 0;
};

// Written by one guest.
struct GuestRecord {
  std::atomic<uint64_t> since_ns{0};  // it touches or removes a page since then; 0: it does not
  std::atomic<uint64_t> page{0};      // that page
  std::atomic<uint64_t> vmms{0};      // whose every byte was right
  std::atomic<uint64_t> verified_pages{0};
  // For each kill: the longest wait for one page or removal, of those that had begun when the
  // server was killed, or began within 1 ms.
  Histogram waits;
  std::atomic<bool> finished{false};
  std::atomic<bool> is_wrong{false};  // `wrong` is valid
  WrongWord wrong;
  SharedFailure failure;
};

// Runs one VMM after the other, each with new memory of the image, until `kills.stop`: touches its
// pages in random order, writes to a quarter of them, removes others as a balloon does, and at last
// verifies every byte. Runs in a process of its own. `cpu`: runs there only.
void run_scratch_guest(const std::string& socket, uint64_t seed, std::optional<int> cpu,
                       const KillRecord& kills, GuestRecord& record);

}  // namespace pager
