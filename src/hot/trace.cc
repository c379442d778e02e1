// SPDX-License-Identifier: Apache-2.0
// Parses traces and their header, and converts them to hot lists.
#include "hot/trace.h"

#include <limits>
#include <optional>
#include <unordered_set>

#include "base/error.h"
#include "base/number.h"

namespace hot {
namespace {

constexpr std::string_view kHeaderStart = "# snapfork-trace ";
constexpr std::string_view kVersion = "1";

// Removes the text up to and including the first `separator` and returns the part before it.
// Without a separator it returns all of `text`.
std::string_view take_until(std::string_view& text, char separator) {
  const size_t at = text.find(separator);
  const std::string_view first = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return first;
}

[[noreturn]] void fail(std::string_view name, size_t line, const std::string& why) {
  throw base::BadData("cannot use trace " + base::quoted(name) + ": line " + std::to_string(line) +
                      ": " + why);
}

// Parses the part of the first line after kHeaderStart. Unknown fields are skipped, so that a later
// version can add some.
void parse_header(std::string_view text, std::string_view name, Trace& trace) {
  if (const std::string_view version = take_until(text, ' '); version != kVersion) {
    fail(name, 1, "version " + base::quoted(version) + " is not supported");
  }
  std::optional<uint64_t> page_size;
  std::optional<uint64_t> memory_bytes;
  std::string_view region_list;
  while (!text.empty()) {
    std::string_view value = take_until(text, ' ');
    const std::string_view key = take_until(value, '=');
    if (key == "page_size") {
      page_size = base::parse_number<uint64_t>(value);
    } else if (key == "memory_bytes") {
      memory_bytes = base::parse_number<uint64_t>(value);
    } else if (key == "regions") {
      region_list = value;
    }
  }
  if (!page_size || !memory_bytes) {
    fail(name, 1, "the header lacks page_size=BYTES or memory_bytes=BYTES");
  }
  const std::optional<std::vector<Region>> regions = parse_region_list(region_list, *page_size);
  if (!regions) {
    fail(name, 1, "regions=" + base::quoted(region_list) + " is not a list of OFFSET+SIZE");
  }
  if (const auto problem = file_layout_problem(*regions, *memory_bytes)) {
    fail(name, 1, *problem);
  }
  trace.page_size = *page_size;
  trace.memory_bytes = *memory_bytes;
  trace.regions = *regions;
}

// Finds the region, and the offset in it, of a byte of the memory file.
std::optional<HotPage> locate(std::span<const Region> regions, uint64_t file_offset) {
  for (size_t i = 0; i < regions.size(); ++i) {
    if (file_offset >= regions[i].offset && file_offset - regions[i].offset < regions[i].size) {
      return HotPage{.region = static_cast<uint32_t>(i), .offset = file_offset - regions[i].offset};
    }
  }
  return std::nullopt;
}

}  // namespace

std::string trace_header(std::span<const Region> regions, uint64_t memory_bytes) {
  const uint64_t page_size = regions.empty() ? kSmallPage : regions.front().page_size;
  std::string line = std::string(kHeaderStart) + std::string(kVersion) +
                     " page_size=" + std::to_string(page_size) +
                     " memory_bytes=" + std::to_string(memory_bytes) + " regions=";
  for (const Region& region : regions) {
    line += (&region == regions.data() ? "" : ",") + std::to_string(region.offset) + "+" +
            std::to_string(region.size);
  }
  return line + "\n";
}

std::optional<std::vector<Region>> parse_region_list(std::string_view text, uint64_t page_size) {
  std::vector<Region> regions;
  if (text.ends_with(',')) {
    return std::nullopt;
  }
  while (!text.empty()) {
    std::string_view item = take_until(text, ',');
    const std::optional<uint64_t> offset = base::parse_number<uint64_t>(take_until(item, '+'));
    const std::optional<uint64_t> size = base::parse_number<uint64_t>(item);
    if (!offset || !size || regions.size() == kMaxRegions) {
      return std::nullopt;
    }
    regions.push_back({.base = 0, .size = *size, .offset = *offset, .page_size = page_size});
  }
  return regions;
}

std::optional<std::string> file_layout_problem(std::vector<Region> regions, uint64_t file_size) {
  for (Region& region : regions) {
    region.base = region.offset;  // such addresses overlap exactly if the file ranges do
  }
  return layout_problem(regions, file_size);
}

Trace parse_trace(std::string_view text, std::string_view name) {
  Trace trace;
  for (size_t number = 1; !text.empty(); ++number) {
    const bool whole = text.find('\n') != std::string_view::npos;
    std::string_view line = take_until(text, '\n');
    if (!whole) {
      fail(name, number, "the line has no newline, so the trace is truncated; remove this line");
    }
    if (number == 1 && line.starts_with(kHeaderStart)) {
      line.remove_prefix(kHeaderStart.size());
      parse_header(line, name, trace);
      continue;
    }
    if (line.empty() || line.front() == '#') {
      continue;
    }
    const std::optional<uint64_t> page = base::parse_number<uint64_t>(line);
    if (!page) {
      constexpr size_t kShown = 40;
      fail(name, number, base::quoted(line.substr(0, kShown)) + " is not a page number");
    }
    const bool fits = *page <= std::numeric_limits<uint64_t>::max() / trace.page_size - 1;
    if (!fits || (!trace.regions.empty() && !locate(trace.regions, *page * trace.page_size))) {
      fail(name, number,
           "page " + std::to_string(*page) + " is outside of the memory file's regions");
    }
    trace.pages.push_back(*page);
  }
  return trace;
}

std::vector<HotPage> hot_pages_of(const Trace& trace) {
  std::vector<HotPage> hot;
  std::unordered_set<uint64_t> seen;
  seen.reserve(trace.pages.size());
  for (const uint64_t page : trace.pages) {
    if (!seen.insert(page).second) {
      continue;
    }
    const uint64_t file_offset = page * trace.page_size;
    const std::optional<HotPage> place = trace.regions.empty()
                                             ? HotPage{.region = 0, .offset = file_offset}
                                             : locate(trace.regions, file_offset);
    SNAPFORK_CHECK(place.has_value());  // parse_trace checked it
    hot.push_back(*place);
  }
  return hot;
}

}  // namespace hot
