// SPDX-License-Identifier: Apache-2.0
// Counters of a session. Its thread writes them; any thread reads them.
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
  hit_before,        // of these, the page was already present
  pages_copied,      // demand, window and prefetch
  pages_zeroed,      //
  pages_prefetched,  // from the hot list, copied or zeroed
  pages_removed,     // by the VMM, each counted once
  pages_poisoned,    //
  pages_healed,      // of these, by a later good read
  pages_gone,        // no longer registered at completion: the VMM replaced them
  bytes_released,    // of large holes, unregistered at the start
  copies,            // ioctls that install pages
  copy_errors,       // of these, failed permanently
  eagain,            // of these, met a removal in progress
  out_of_memory,     // of these, the VMM had no memory or no 2 MiB page left
  batch_max,         // the most messages that one read returned
  retries,           // kept faults that were tried again
  waiting,           // faults that are kept now
  read_errors,       // reads of the image that failed
  bytes_read,        //
  hot_list_refused,  //
  hot_lists_ended,   // installed, refused or dropped
  faults_unlisted,   // for pages outside of the hot list, if the session has one
  bytes_resident,    // installed and not removed, in sessions that have not ended
  fault_ns,          // from the read of a message to its answer, all faults
  read_ns,           // of these, time to read the image
  read_max_ns,       //
  copy_ns,           // of these, time in the installing ioctls
  copy_max_ns,       //
  fault_max_ns,      //
};
inline constexpr size_t kCounts = static_cast<size_t>(Count::fault_max_ns) + 1;

// A snapshot of the counters of one session, or the totals of several.
struct Totals {
  std::array<uint64_t, kCounts> values{};

  uint64_t operator[](Count count) const { return values[static_cast<size_t>(count)]; }
  // Adds the counts and takes the larger of the maxima.
  void add(const Totals& other);
  // Clears the values that are valid only while the session exists.
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
  // Thread-safe.
  Totals totals() const;

  Latency latency;  // from the read of a fault's message to its answer

 private:
  std::atomic<uint64_t>& at(Count count) { return values_[static_cast<size_t>(count)]; }

  std::array<std::atomic<uint64_t>, kCounts> values_{};
};

}  // namespace pager
