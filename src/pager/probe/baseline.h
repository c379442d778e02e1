// SPDX-License-Identifier: Apache-2.0
// The kernel's own limits on this machine, to put a page server's figures beside.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "pager/probe/histogram.h"
#include "pager/probe/memory.h"
#include "pager/probe/order.h"

namespace pager {

struct Baseline {
  Histogram anonymous;  // a first write to anonymous memory: the kernel zeroes a page
  Histogram copy_loop;  // a touch that a thread answers which only reads the event, reads the page
                        // from the file, and copies it in
  std::atomic<uint64_t> copy_bytes_per_second{0};  // UFFDIO_COPY of 64 KiB pieces, from the file
};

// Measures on up to 16384 pages at the start of `order`, and up to 256 MiB for the copying. Throws
// what reading the file throws, base::Unsupported without userfaultfd, std::system_error.
void measure_baseline(const MemoryFile& file, std::span<const PageNumber> order,
                      Baseline& baseline);

}  // namespace pager
