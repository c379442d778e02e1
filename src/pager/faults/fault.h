// SPDX-License-Identifier: Apache-2.0
// A fault that is not answered yet, and what an attempt to answer it leads to.
#pragma once

#include <cstdint>

namespace pager {

struct Fault {
  uint64_t address = 0;
  uint64_t since_ns = 0;       // CLOCK_MONOTONIC: its message was read
  uint64_t not_before_ns = 0;  // the next attempt; 0: after the next read of events
  bool kept = false;           // it had to wait before
  uint32_t reads = 0;          // failed reads of the image
  int waits = 0;               // rounds of waiting for memory
  uint64_t read_until_ns = 0;  // of the last attempt: when the image was read; 0: it was not
};

enum class Answer {
  given,       // the page is installed or poisoned, or the kernel handles the fault
  over,        // the VMM has ended or was killed
  removal,     // the fault waits for a removal in progress
  no_memory,   // ... until the VMM may have more memory
  read_again,  // ... until the image is read again
};

}  // namespace pager
