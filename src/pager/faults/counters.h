// SPDX-License-Identifier: Apache-2.0
// What a session has done so far: written by its thread, read by whoever asks.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "pager/faults/latency.h"

namespace pager {

enum class Count : size_t {
  faults,            // page fault messages read
  zero_faults,       // of these, answered with zeros
  hit_before,        // of these, the page was there already
  pages_copied,      // demand, window and prefetch
  pages_zeroed,      //
  pages_prefetched,  // from the hot list, copied or zeroed
  pages_removed,     // by the VMM, each counted once
  pages_poisoned,    //
  pages_healed,      // of these, by a later good read
  pages_gone,        // not registered any more when the rest was installed: the VMM's own
  bytes_released,    // of large holes, unregistered at the start
  copies,            // calls to install something
  copy_errors,       // of these, failed for good
  eagain,            // of these, met a removal under way
  out_of_memory,     // of these, found no memory, or no 2 MiB page, for the VMM
  batch_max,         // the most messages that one read has brought
  retries,           // faults that were kept and looked at again
  waiting,           // faults that are kept now
  read_errors,       // reads of the image that failed
  bytes_read,        //
  hot_list_refused,  //
  hot_lists_ended,   // installed, refused or dropped
  faults_unlisted,   // for pages that are not in the hot list, where there is one
  bytes_resident,    // installed, and not given back since: of sessions that have not ended
  fault_ns,          // from the read of the message to the answer, all faults together
  read_ns,           // of these, time in the image
  read_max_ns,       //
  copy_ns,           // of these, time in the kernel's installing
  copy_max_ns,       //
  fault_max_ns,      //
};
inline constexpr size_t kCounts = static_cast<size_t>(Count::fault_max_ns) + 1;

// Plain numbers, at one moment or of several sessions together.
struct Totals {
  std::array<uint64_t, kCounts> values{};

  uint64_t operator[](Count count) const { return values[static_cast<size_t>(count)]; }
  // Sums, but for the maxima.
  void add(const Totals& other);
  // Takes out what is true only while its session lasts.
  void forget_gauges();
};

class Counters {
 public:
  void add(Count count, uint64_t value = 1) { add_relaxed(at(count), value); }
  void set(Count count, uint64_t value) { at(count).store(value, std::memory_order_relaxed); }
  void raise(Count count, uint64_t value) { raise_relaxed(at(count), value); }
  uint64_t get(Count count) const {
    return values_[static_cast<size_t>(count)].load(std::memory_order_relaxed);
  }
  // Any thread may call it.
  Totals totals() const;

  Latency latency;  // from the read of a fault's message to its answer

 private:
  std::atomic<uint64_t>& at(Count count) { return values_[static_cast<size_t>(count)]; }

  std::array<std::atomic<uint64_t>, kCounts> values_{};
};

}  // namespace pager
