// SPDX-License-Identifier: Apache-2.0
// hotpage-record warm: the hot pages of a memory file in the page cache.
#include <poll.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "hot/readahead.h"
#include "hot/verbs/list_files.h"
#include "hot/verbs/verbs.h"
#include "hot/warm.h"

namespace hot {
namespace {

std::vector<FileRange> ranges_of(const base::ParsedOptions& parsed, const std::string& memory) {
  const std::string& path = parsed.operands()[0];
  const HotList list = load_list(path, layout_of(parsed));
  const HotListLayout layout = layout_for_file(list, path, layout_of(parsed), memory);
  return readahead_ranges(expand(list.runs, list.page_size), layout.regions);
}

void report(const std::string& path, const char* what, const Warmed& warmed) {
  if (base::message_style().json) {
    base::JsonLine json("hot_list_warm");
    json.path("path", path).text("action", what);
    add_count(json, "pages", warmed.pages);
    add_count(json, "cached", warmed.cached);
    base::write_line_out(add_count(json, "bytes_read", warmed.bytes_read).str());
  } else {
    base::say_info(std::string(what) + " " + std::to_string(warmed.pages) + " pages; " +
                   std::to_string(warmed.cached) + " were in the page cache");
  }
}

}  // namespace

int warm_verb(int argc, char** argv) {
  base::Options options("hotpage-record warm", "[options] --mem FILE LIST|-",
                        "Read the pages of a hot list into the page cache, and wait for them.");
  options.value("mem", "FILE", "the memory file")
      .flag("drop", "remove them from the page cache instead")
      .value("lock", "SECONDS", "then keep them in memory for that long");
  add_layout_options(options);
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(1, 1, "LIST");
  if (parsed->has("drop") && parsed->has("lock")) {
    throw base::UsageError("--drop and --lock exclude each other");
  }
  const std::string memory = required_memory(*parsed);
  const int64_t lock_ms = parsed->seconds_as_ms("lock", 0);
  const std::vector<FileRange> ranges = ranges_of(*parsed, memory);
  const std::string& path = parsed->operands()[0];
  const WarmFile file(memory);
  if (parsed->has("drop")) {
    const uint64_t cached = file.drop(ranges);
    report(path, "dropped", {.pages = cached, .cached = cached, .bytes_read = 0});
    return 0;
  }
  const Warmed warmed = file.warm(ranges);
  if (lock_ms > 0) {
    file.lock(ranges);
  }
  report(path, lock_ms > 0 ? "locked" : "warmed", warmed);
  if (lock_ms > 0) {
    ::poll(nullptr, 0, static_cast<int>(std::min<int64_t>(lock_ms, INT32_MAX)));
  }
  return 0;
}

}  // namespace hot
