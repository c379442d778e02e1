// SPDX-License-Identifier: Apache-2.0
// Measures the limits of this machine, to compare a page server with.
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
  // A touch that a thread answers by reading the event, reading the page from the file, and copying
  // it.
  Histogram copy_loop;
  std::atomic<uint64_t> copy_bytes_per_second{0};  // reads and UFFDIO_COPY of 64 KiB pieces
};

// Uses at most 16384 pages from the start of `order`, and at most 256 MiB for the copy rate. Throws
// what reading the file throws, base::Unsupported without userfaultfd, std::system_error.
void measure_baseline(const MemoryFile& file, std::span<const PageNumber> order,
                      Baseline& baseline);

}  // namespace pager
