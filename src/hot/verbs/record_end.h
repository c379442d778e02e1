// SPDX-License-Identifier: Apache-2.0
// When a recording ends.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>

#include "base/options.h"
#include "hot/trace.h"

namespace hot {

// The options --seconds, --mark, --pages and --settled. Without one, a recording ends with its
// trace.
void add_end_options(base::Options& options);

// Decides after each piece of a trace whether the recording has ended. The first condition that
// holds ends it.
class RecordEnd {
 public:
  using Clock = std::chrono::steady_clock;

  // Throws base::UsageError.
  RecordEnd(const base::ParsedOptions& parsed, Clock::time_point start);

  // `trace` is what was read so far. Call it for the same trace again as it grows.
  bool reached(const Trace& trace, Clock::time_point now);
  // The time of the next call, if nothing is read before.
  std::optional<Clock::time_point> next_check() const;
  // Removes what was read after the end.
  void cut(Trace& trace) const;

 private:
  bool count_new_pages(const Trace& trace);
  bool has_settled(Clock::time_point now, bool has_list);

  std::optional<Clock::time_point> end_;
  std::optional<std::string> mark_;
  std::optional<uint64_t> pages_;
  bool settles_;
  size_t counted_ = 0;                 // entries of the trace
  std::unordered_set<uint64_t> seen_;  // their pages
  size_t cut_at_ = SIZE_MAX;           // entries of the trace that are kept
  Clock::time_point window_start_;     // of the current period of --settled
  uint64_t window_pages_ = 0;          // pages at its start
};

}  // namespace hot
