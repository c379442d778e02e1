// SPDX-License-Identifier: Apache-2.0
// Counters of a session. Its thread writes them; any thread reads them.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "pager/faults/latency.h"

namespace pager {

enum class Count : size_t {
  faults,            // page fault messages read
  zero_faults,       // of these, answered with zeros
  hit_before,        // of these, the page was already present
  faults_unlisted,   // of these, for pages outside of the hot list, if the session has one
  waiting,           // faults that are kept now
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
  read_errors,       // reads of the image that failed
  bytes_read,        //
  hot_list_refused,  //
  hot_lists_ended,   // installed, refused or dropped
  bytes_asked,       // copied for faults, and for windows that faults continued (WindowCredit)
  bytes_by_window,   // copied for windows, and not asked for until now
  bytes_by_list,     // installed from hot lists
  bytes_resident,    // installed and not removed, in sessions that have not ended
  fault_ns,          // from the read of a message to its answer, all faults
  read_ns,           // of these, time to read the image
  read_max_ns,       //
  copy_ns,           // of these, time in the installing ioctls
  copy_max_ns,       //
  fault_max_ns,      //
  waiters_woken,     // threads that waited for a page when another server took over
  // New counters are added here: their numbers are part of the states of sessions and of the
  // server.
};
inline constexpr size_t kCounts = static_cast<size_t>(Count::waiters_woken) + 1;
// The room for counters in a state. A server without a counter leaves it 0.
inline constexpr size_t kMostCounts = 96;
static_assert(kCounts <= kMostCounts);

// How a counter is reported. Every report walks kCounters, so this file is the only one that knows
// all counters. (The names of hypeman's pager are in serve/hypeman_names.h.)
struct CounterText {
  enum class Kind {
    sum,      // only grows; the total of sessions is their sum
    maximum,  // the total of sessions is the largest
    gauge,    // valid only while the session exists; the total is the sum
  };
  Count count;
  Kind kind = Kind::sum;
  // The key in GET /sessions/ID, and the object that contains it (empty: the outermost). Without a
  // key the counter is not there.
  std::string_view object{};
  std::string_view key{};
  // uffd_serve_METRIC of GET /metrics, with the label kind="LABEL" unless that is empty. Metrics of
  // one name follow each other; the first one has their help.
  std::string_view metric{};
  std::string_view label{};
  std::string_view help{};
  std::string_view summary{};  // the key in the summary at the end of the server
};

inline constexpr std::array<CounterText, kCounts> kCounters{{
    {.count = Count::faults,
     .object = "faults",
     .key = "demand",
     .metric = "faults_total",
     .label = "demand",
     .help = "Page faults: all (demand); of these, answered with zeros, page already present, page "
             "not in the hot list.",
     .summary = "faults"},
    {.count = Count::zero_faults,
     .object = "faults",
     .key = "zero",
     .metric = "faults_total",
     .label = "zero"},
    {.count = Count::hit_before,
     .object = "faults",
     .key = "hit_before",
     .metric = "faults_total",
     .label = "hit_before"},
    {.count = Count::faults_unlisted, .metric = "faults_total", .label = "unlisted"},
    {.count = Count::waiting,
     .kind = CounterText::Kind::gauge,
     .object = "faults",
     .key = "waiting"},
    {.count = Count::pages_copied,
     .object = "pages",
     .key = "copied",
     .metric = "pages_total",
     .label = "copied",
     .help =
         "Pages: copied or zeroed; of these, prefetched; removed by guests; poisoned; of these, "
         "healed; gone: replaced by the VMM.",
     .summary = "pages_copied"},
    {.count = Count::pages_zeroed,
     .object = "pages",
     .key = "zeroed",
     .metric = "pages_total",
     .label = "zeroed",
     .summary = "pages_zeroed"},
    {.count = Count::pages_prefetched,
     .object = "pages",
     .key = "prefetched",
     .metric = "pages_total",
     .label = "prefetched",
     .summary = "pages_prefetched"},
    {.count = Count::pages_removed,
     .object = "pages",
     .key = "removed",
     .metric = "pages_total",
     .label = "removed",
     .summary = "pages_removed"},
    {.count = Count::pages_poisoned,
     .object = "pages",
     .key = "poisoned",
     .metric = "pages_total",
     .label = "poisoned",
     .summary = "pages_poisoned"},
    {.count = Count::pages_healed,
     .object = "pages",
     .key = "healed",
     .metric = "pages_total",
     .label = "healed"},
    {.count = Count::pages_gone,
     .object = "pages",
     .key = "gone",
     .metric = "pages_total",
     .label = "gone"},
    {.count = Count::bytes_released,
     .key = "bytes_released",
     .metric = "released_bytes_total",
     .help = "Bytes of large holes that were unregistered at the start."},
    {.count = Count::copies},
    {.count = Count::copy_errors},
    {.count = Count::eagain,
     .key = "eagain",
     .metric = "eagain_total",
     .help = "Calls that met a removal in progress."},
    {.count = Count::out_of_memory,
     .key = "out_of_memory",
     .metric = "out_of_memory_total",
     .help = "Calls that found no memory for a VMM."},
    {.count = Count::batch_max, .kind = CounterText::Kind::maximum},
    {.count = Count::retries,
     .key = "retries",
     .metric = "retries_total",
     .help = "Faults that were kept and tried again."},
    {.count = Count::read_errors,
     .key = "read_errors",
     .metric = "read_errors_total",
     .help = "Reads of memory files that failed."},
    {.count = Count::bytes_read,
     .key = "bytes_read",
     .metric = "read_bytes_total",
     .help = "Bytes read from memory files."},
    {.count = Count::hot_list_refused,
     .metric = "hot_lists_refused_total",
     .help = "Hot lists that did not fit a VMM's regions."},
    {.count = Count::hot_lists_ended},
    {.count = Count::bytes_asked, .object = "bytes", .key = "asked"},
    {.count = Count::bytes_by_window,
     .kind = CounterText::Kind::gauge,
     .object = "bytes",
     .key = "prefetched_by_window"},
    {.count = Count::bytes_by_list, .object = "bytes", .key = "prefetched_by_list"},
    {.count = Count::bytes_resident,
     .kind = CounterText::Kind::gauge,
     .key = "bytes_resident",
     .metric = "resident_bytes",
     .help = "Guest memory that is installed and was not removed, in VMMs that are served."},
    {.count = Count::fault_ns},
    {.count = Count::read_ns},
    {.count = Count::read_max_ns, .kind = CounterText::Kind::maximum},
    {.count = Count::copy_ns},
    {.count = Count::copy_max_ns, .kind = CounterText::Kind::maximum},
    {.count = Count::fault_max_ns, .kind = CounterText::Kind::maximum},
    {.count = Count::waiters_woken,
     .object = "faults",
     .key = "woken",
     .metric = "woken_waiters_total",
     .help = "Threads that waited for a page when another server took over."},
}};

// One row for each counter, in their order.
consteval bool counters_are_complete() {
  for (size_t i = 0; i < kCounts; ++i) {
    if (kCounters[i].count != static_cast<Count>(i)) {
      return false;
    }
  }
  return true;
}
static_assert(counters_are_complete());

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
  void add(Count count, uint64_t value = 1) { base::add_relaxed(at(count), value); }
  void set(Count count, uint64_t value) { at(count).store(value, std::memory_order_relaxed); }
  void raise(Count count, uint64_t value) { base::raise_relaxed(at(count), value); }
  uint64_t get(Count count) const {
    return values_[static_cast<size_t>(count)].load(std::memory_order_relaxed);
  }
  // Thread-safe.
  Totals totals() const;

  Latency latency;  // from the read of a fault's message to its answer

 private:
  std::atomic<uint64_t>& at(Count count) { return values_[static_cast<size_t>(count)]; }

  std::array<std::atomic<uint64_t>, kMostCounts> values_{};
};

}  // namespace pager
