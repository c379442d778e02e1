// SPDX-License-Identifier: Apache-2.0
// Traces: the demand faults of a session, in the order in which they were read.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hot/hot_list.h"
#include "hot/region.h"

namespace hot {

// Returns the first line of a trace (docs/interfaces.md), with its newline: "# snapfork-trace 2
// page_size=4096 memory_bytes=N regions=OFFSET+SIZE,...". The page size is that of the first
// region.
std::string trace_header(std::span<const Region> regions, uint64_t memory_bytes);

// Parses "OFFSET+SIZE,..." (bytes of the memory file) into regions with base 0. Returns nothing if
// the text has another form or more than kMaxRegions regions. Overlaps and the file size are not
// checked here: call file_layout_problem.
std::optional<std::vector<Region>> parse_region_list(std::string_view text, uint64_t page_size);
// As layout_problem, for regions whose addresses are not known.
std::optional<std::string> file_layout_problem(std::vector<Region> regions, uint64_t file_size);

// A place in a trace that has a name.
struct TraceMark {
  size_t at = 0;  // number of pages before it
  std::string name;
  bool operator==(const TraceMark&) const = default;
};
// The name of a mark: 1 to kMaxMarkBytes letters, digits, '.', '_' and '-'.
inline constexpr size_t kMaxMarkBytes = 64;
bool is_mark_name(std::string_view name);

struct Trace {
  uint64_t page_size = kSmallPage;
  uint64_t memory_bytes = 0;    // 0: not known (the trace has no header)
  std::vector<Region> regions;  // base is 0; empty if the trace has no header
  std::vector<uint64_t> pages;  // page numbers in the memory file, in order, repeats kept
  // Pages of hot lists that were in use: they would not fault. First page and number of pages.
  std::vector<std::pair<uint64_t, uint64_t>> listed;
  std::vector<TraceMark> marks;
};

// Reads a trace in pieces, as they come from a pipe. Blank lines and unknown lines with '#' are
// skipped. Failures are base::BadData that name the trace and the line: a line that is not a
// number, a page outside of the regions, a header of another version, more than kMaxListedPages in
// `listed`.
class TraceReader {
 public:
  explicit TraceReader(std::string name) : name_(std::move(name)) {}

  // Parses the whole lines of what was added so far.
  void add(std::string_view bytes);
  const Trace& trace() const { return trace_; }
  // The end of the trace. A last line without a newline may hold only a part of a page number: it
  // is ignored, with a warning.
  Trace finish();

 private:
  void line(std::string_view line);
  void remark(std::string_view text);
  void check_page(uint64_t page) const;
  [[noreturn]] void fail(const std::string& why) const;

  std::string name_;
  Trace trace_;
  std::string rest_;
  size_t number_ = 0;          // of the line
  uint64_t listed_pages_ = 0;  // with repeats
};

// Reads a whole trace.
Trace parse_trace(std::string_view text, std::string_view name);

// The hot list of a trace: the pages of lists that were in use, then the first touches, each page
// once. If the trace has no regions, all pages are in region 0. Each mark begins a phase.
HotList hot_list_of(const Trace& trace);

}  // namespace hot
