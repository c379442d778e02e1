// SPDX-License-Identifier: Apache-2.0
// The names under which hypeman's pager reports its counters.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "pager/faults/counters.h"

namespace pager {

// GET /stats has NAME. GET /metrics has hypeman_uffd_NAME of a gauge, and hypeman_uffd_NAME_total
// of a counter.
struct HypemanName {
  std::string_view name;
  bool is_counter = false;
  // Nothing: a figure of its page cache, which is 0, because this server uses the page cache of the
  // kernel.
  std::optional<Count> count{};
  std::string_view metric{};  // in GET /metrics, if that differs
};

inline constexpr std::array kHypemanNames{
    HypemanName{.name = "cache_bytes"},
    HypemanName{.name = "cache_max", .metric = "cache_max_bytes"},
    HypemanName{.name = "cache_items"},
    HypemanName{.name = "cache_hits", .is_counter = true},
    HypemanName{.name = "cache_misses", .is_counter = true},
    HypemanName{.name = "cache_shards"},
    HypemanName{.name = "cache_lookup_nanos", .is_counter = true},
    HypemanName{.name = "cache_lookup_max_nanos"},
    HypemanName{.name = "cache_add_nanos", .is_counter = true},
    HypemanName{.name = "cache_add_max_nanos"},
    HypemanName{.name = "faults", .is_counter = true, .count = Count::faults},
    HypemanName{.name = "backing_bytes_read", .is_counter = true, .count = Count::bytes_read},
    HypemanName{.name = "copies", .is_counter = true, .count = Count::copies},
    HypemanName{.name = "copy_errors", .is_counter = true, .count = Count::copy_errors},
    HypemanName{.name = "active_faults", .count = Count::waiting},
    HypemanName{.name = "max_concurrent_faults", .count = Count::batch_max},
    HypemanName{.name = "fault_nanos", .is_counter = true, .count = Count::fault_ns},
    HypemanName{.name = "fault_max_nanos", .count = Count::fault_max_ns},
    // hypeman's pager reads a page through a cache and counts both. Here a page is read from the
    // file.
    HypemanName{.name = "read_page_nanos", .is_counter = true, .count = Count::read_ns},
    HypemanName{.name = "read_page_max_nanos", .count = Count::read_max_ns},
    HypemanName{.name = "backing_read_nanos", .is_counter = true, .count = Count::read_ns},
    HypemanName{.name = "backing_read_max_nanos", .count = Count::read_max_ns},
    HypemanName{.name = "copy_nanos", .is_counter = true, .count = Count::copy_ns},
    HypemanName{.name = "copy_max_nanos", .count = Count::copy_max_ns},
};

}  // namespace pager
