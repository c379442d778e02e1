// SPDX-License-Identifier: Apache-2.0
// Converts traces to hot lists, prints lists, and checks them against a memory file.
#include "hot/hotpage_commands.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/atomic_file.h"
#include "base/effect.h"
#include "base/error.h"
#include "base/file_status.h"
#include "base/input.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/output.h"
#include "hot/hot_list.h"
#include "hot/hpl1.h"
#include "hot/trace.h"

namespace hot {
namespace {

// Enough for a trace of a 256 GiB guest that touches every page: 2^26 lines of up to 9 digits.
constexpr size_t kMaxTraceBytes = size_t{1} << 30U;

std::optional<uint64_t> page_in_file(const HotPage& page, const HotListLayout& layout) {
  if (page.region < layout.regions.size()) {
    return (layout.regions[page.region].offset + page.offset) / layout.page_size;
  }
  return page.region == 0 && layout.regions.empty() ? std::optional(page.offset / layout.page_size)
                                                    : std::nullopt;
}

}  // namespace

std::vector<HotPage> read_hot_list(const std::string& path) {
  return decode_hot_list(base::read_input(path, kMaxHotListBytes), base::input_name(path));
}

void record_hot_list(const RecordRequest& request) {
  const bool json = base::message_style().json;
  if (!request.list_path && !base::is_dry_run(request.effect)) {
    if (json) {
      throw base::UsageError("--json needs -o FILE: the list itself goes to standard output");
    }
    base::refuse_terminal_output("a hot list", "use -o FILE, or a pipe");
  }
  if (request.list_path) {
    base::require_writable_name(*request.list_path);
  }
  const std::string name = base::input_name(request.trace_path);
  const std::vector<HotPage> pages =
      hot_pages_of(parse_trace(base::read_input(request.trace_path, kMaxTraceBytes), name));
  const std::string list = encode_hpl1(pages);
  const std::string where =
      request.list_path ? base::quoted(*request.list_path) : "standard output";
  const std::string what = std::to_string(pages.size()) + " pages, " + std::to_string(list.size()) +
                           " bytes, to " + where;
  if (!base::is_dry_run(request.effect)) {
    if (request.list_path) {
      base::write_file_atomic(*request.list_path, list, 0644, base::Durable::yes);
    } else {
      base::write_out(list);
    }
    base::say_detail("wrote " + what);
  }
  if (json) {
    base::JsonLine record("hot_list");
    if (request.list_path) {
      record.path("path", *request.list_path);
    } else {
      record.null("path");
    }
    base::write_line_out(record.boolean("written", !base::is_dry_run(request.effect))
                             .number("entries", static_cast<int64_t>(pages.size()))
                             .number("bytes", static_cast<int64_t>(list.size()))
                             .str());
  } else if (base::is_dry_run(request.effect)) {
    base::write_line_out("would write " + what);
  }
}

void show_hot_list(std::span<const HotPage> pages, const HotListLayout& layout) {
  for (const HotPage& entry : pages) {
    const std::optional<uint64_t> page = page_in_file(entry, layout);
    const std::string page_text = page ? std::to_string(*page) : std::string();
    if (base::message_style().json) {
      base::write_out(base::JsonLine("hot_page")
                          .number("region", entry.region)
                          .raw("offset", std::to_string(entry.offset))
                          .raw("page", page ? page_text : "null")
                          .str() +
                      "\n");
    } else {
      base::write_out(std::to_string(entry.region) + "\t" + std::to_string(entry.offset) + "\t" +
                      (page ? page_text : "-") + "\n");
    }
  }
}

HotListStat stat_hot_list(std::span<const HotPage> pages, uint64_t page_size) {
  std::vector<std::pair<uint32_t, uint64_t>> places;
  places.reserve(pages.size());
  std::set<uint32_t> regions;
  for (const HotPage& page : pages) {
    places.emplace_back(page.region, page.offset);
    regions.insert(page.region);
  }
  std::ranges::sort(places);
  places.erase(std::unique(places.begin(), places.end()), places.end());
  uint64_t runs = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    const bool continues = i > 0 && places[i].first == places[i - 1].first &&
                           places[i].second - places[i - 1].second == page_size;
    runs += continues ? 0 : 1;
  }
  return {
      .entries = pages.size(), .distinct = places.size(), .regions = regions.size(), .runs = runs};
}

void check_hot_list_for_file(std::span<const HotPage> pages, const std::string& name,
                             const HotListLayout& layout, const std::string& memory_path) {
  const struct stat st = base::stat_path(memory_path);
  if (!S_ISREG(st.st_mode)) {
    throw base::BadData("cannot use memory file " + base::quoted(memory_path) +
                        ": it is not a regular file");
  }
  const auto file_size = static_cast<uint64_t>(st.st_size);
  std::vector<Region> regions = layout.regions;
  if (regions.empty()) {
    regions.push_back({.base = 0, .size = file_size, .offset = 0, .page_size = layout.page_size});
  }
  if (const auto problem = file_layout_problem(regions, file_size)) {
    const std::string message =
        "cannot check against " + base::quoted(memory_path) + ": " + *problem;
    if (layout.regions.empty()) {
      throw base::BadData(message);
    }
    throw base::UsageError(message + "; see --regions");
  }
  check_hot_list(pages, regions, name);
}

}  // namespace hot
