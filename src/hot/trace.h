// SPDX-License-Identifier: Apache-2.0
// Traces: the demand faults of a session, in the order in which they were read.
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

// Returns the first line of a trace (docs/interfaces.md), with its newline: "# snapfork-trace 1
// page_size=4096 memory_bytes=N regions=OFFSET+SIZE,...". The page size is that of the first
// region.
std::string trace_header(std::span<const Region> regions, uint64_t memory_bytes);

// Parses "OFFSET+SIZE,..." (bytes of the memory file) into regions with base 0. Returns nothing if
// the text has another form or more than kMaxRegions regions. Overlaps and the file size are not
// checked here: call file_layout_problem.
std::optional<std::vector<Region>> parse_region_list(std::string_view text, uint64_t page_size);
// As layout_problem, for regions whose addresses are not known.
std::optional<std::string> file_layout_problem(std::vector<Region> regions, uint64_t file_size);

struct Trace {
  uint64_t page_size = kSmallPage;
  uint64_t memory_bytes = 0;    // 0: not known (the trace has no header)
  std::vector<Region> regions;  // base is 0; empty if the trace has no header
  std::vector<uint64_t> pages;  // page numbers in the memory file, in order, repeats kept
};
// Blank lines and other lines with '#' are skipped. Throws base::BadData that names `name` and the
// line for: a last line without a newline (it may hold only part of a page number), a line that is
// not a number, a page outside of the regions, a header of another version.
Trace parse_trace(std::string_view text, std::string_view name);

// Returns the pages of a trace as a hot list: only first touches, in order. If the trace has no
// regions, all pages are in region 0.
std::vector<HotPage> hot_pages_of(const Trace& trace);

}  // namespace hot
