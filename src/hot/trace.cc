// SPDX-License-Identifier: Apache-2.0
// Parses traces and their header, and converts them to hot lists.
#include "hot/trace.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/message.h"
#include "base/number.h"

namespace hot {
namespace {

constexpr std::string_view kHeaderStart = "# snapfork-trace ";
// Version 2 added the lines "# mark" and "# listed". Readers of version 1 skip such lines.
constexpr std::string_view kVersion = "2";
constexpr std::string_view kOldVersion = "1";
constexpr std::string_view kMarkStart = "# mark ";
constexpr std::string_view kListedStart = "# listed ";

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
  if (const std::string_view version = take_until(text, ' ');
      version != kVersion && version != kOldVersion) {
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

bool is_mark_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxMarkBytes && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

void TraceReader::fail(const std::string& why) const {
  hot::fail(name_, number_, why);
}

void TraceReader::add(std::string_view bytes) {
  std::string joined;
  if (!rest_.empty()) {
    joined = std::exchange(rest_, {}).append(bytes);
    bytes = joined;
  }
  for (size_t end = bytes.find('\n'); end != std::string_view::npos; end = bytes.find('\n')) {
    ++number_;
    line(bytes.substr(0, end));
    bytes.remove_prefix(end + 1);
  }
  constexpr size_t kLongestLine = size_t{1} << 20U;  // a header with 1024 regions has 40 KiB
  if (bytes.size() > kLongestLine) {
    ++number_;
    fail("the line has more than " + std::to_string(kLongestLine) + " bytes");
  }
  rest_ = bytes;
}

Trace TraceReader::finish() {
  if (!rest_.empty()) {
    base::say_warning("trace " + base::quoted(name_) + ": line " + std::to_string(number_ + 1) +
                      " has no newline, so it is truncated; it is ignored");
  }
  return std::move(trace_);
}

void TraceReader::check_page(uint64_t page) const {
  const bool fits = page <= std::numeric_limits<uint64_t>::max() / trace_.page_size - 1;
  if (!fits || (!trace_.regions.empty() && !locate(trace_.regions, page * trace_.page_size))) {
    fail("page " + std::to_string(page) + " is outside of the memory file's regions");
  }
}

void TraceReader::remark(std::string_view text) {
  if (text.starts_with(kMarkStart)) {
    text.remove_prefix(kMarkStart.size());
    if (!is_mark_name(text)) {
      fail(base::quoted(text.substr(0, kMaxMarkBytes)) + " is not the name of a mark");
    }
    trace_.marks.push_back({.at = trace_.pages.size(), .name = std::string(text)});
  } else if (text.starts_with(kListedStart)) {
    text.remove_prefix(kListedStart.size());
    const std::optional<uint64_t> first = base::parse_number<uint64_t>(take_until(text, ' '));
    const std::optional<uint64_t> count = base::parse_number<uint64_t>(text);
    if (!first || !count || *count == 0 || *first > UINT64_MAX - *count) {
      fail("a line with '# listed' needs a page number and a number of pages");
    }
    if (*count > kMaxListedPages - listed_pages_) {
      fail("more than " + std::to_string(kMaxListedPages) + " pages are listed");
    }
    listed_pages_ += *count;
    check_page(*first);
    check_page(*first + *count - 1);
    trace_.listed.emplace_back(*first, *count);
  }
}

void TraceReader::line(std::string_view line) {
  if (number_ == 1 && line.starts_with(kHeaderStart)) {
    line.remove_prefix(kHeaderStart.size());
    parse_header(line, name_, trace_);
    return;
  }
  if (line.empty() || line.front() == '#') {
    remark(line);
    return;
  }
  const std::optional<uint64_t> page = base::parse_number<uint64_t>(line);
  if (!page) {
    constexpr size_t kShown = 40;
    fail(base::quoted(line.substr(0, kShown)) + " is not a page number");
  }
  check_page(*page);
  trace_.pages.push_back(*page);
}

Trace parse_trace(std::string_view text, std::string_view name) {
  TraceReader reader{std::string(name)};
  reader.add(text);
  return reader.finish();
}

HotList hot_list_of(const Trace& trace) {
  HotList list{
      .page_size = trace.page_size, .regions = trace.regions, .memory_bytes = trace.memory_bytes};
  std::unordered_set<uint64_t> seen;
  seen.reserve(trace.pages.size());
  uint64_t pages = 0;  // in the current phase
  const auto add = [&](uint64_t page) {
    const uint64_t at = page * trace.page_size;
    const std::optional<HotPage> place =
        trace.regions.empty() ? HotPage{.region = 0, .offset = at} : locate(trace.regions, at);
    if (place && seen.insert(page).second) {  // a range of '# listed' may cross a gap
      append_page(list, *place);
      ++pages;
    }
  };
  for (const auto& [first, count] : trace.listed) {
    for (uint64_t i = 0; i < count; ++i) {
      add(first + i);
    }
  }
  size_t at = 0;
  std::string name;
  for (const TraceMark& mark : trace.marks) {
    for (; at < mark.at; ++at) {
      add(trace.pages[at]);
    }
    list.phases.push_back(
        {.pages = std::exchange(pages, 0), .name = std::exchange(name, mark.name)});
  }
  for (; at < trace.pages.size(); ++at) {
    add(trace.pages[at]);
  }
  if (!trace.marks.empty()) {
    list.phases.push_back({.pages = pages, .name = name});
  }
  return list;
}

}  // namespace hot
