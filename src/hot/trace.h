// SPDX-License-Identifier: Apache-2.0
// Traces: the demand faults of a session in the order in which they came.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hot/hot_list.h"
#include "hot/region.h"

namespace hot {

// The first line (docs/interfaces.md): "# snapfork-trace 1 page_size=4096 memory_bytes=N
// regions=OFFSET+SIZE,..." with a newline. Page size is the first region's.
std::string trace_header(std::span<const Region> regions, uint64_t memory_bytes);

// "OFFSET+SIZE,..." in bytes of the memory file, with base 0; nothing when it is not of that form,
// or more than kMaxRegions. Says nothing of overlaps and the file: file_layout_problem does.
std::optional<std::vector<Region>> parse_region_list(std::string_view text, uint64_t page_size);
// layout_problem for regions whose addresses are not known.
std::optional<std::string> file_layout_problem(std::vector<Region> regions, uint64_t file_size);

struct Trace {
  uint64_t page_size = kSmallPage;
  uint64_t memory_bytes = 0;  // 0: not known (no first line)
  std::vector<Region>
      regions;  // base is 0: only offset and size are known; empty without first line
  std::vector<uint64_t> pages;  // page numbers in the memory file, in order, repeats kept
};
// Blank lines and further lines with '#' are skipped. Throws base::BadData naming `name` and the
// line: a last line without a newline (of a page number, it may be only a part), a line that is not
// a number, a page outside of the regions, a header of another version.
Trace parse_trace(std::string_view text, std::string_view name);

// The pages of a trace as a hot list: first touches only, in order. Without regions: region 0.
std::vector<HotPage> hot_pages_of(const Trace& trace);

}  // namespace hot
