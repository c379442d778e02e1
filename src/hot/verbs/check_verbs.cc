// SPDX-License-Identifier: Apache-2.0
// hotpage-record check and readahead: a list and its memory file.
#include <sys/stat.h>

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file_status.h"
#include "base/input.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "hot/readahead.h"
#include "hot/verbs/list_files.h"
#include "hot/verbs/verbs.h"

namespace hot {
namespace {

// Returns the exit status: 1 if the list should be recorded again.
int check_drift(const base::ParsedOptions& parsed, const SessionDrift& drift) {
  constexpr int64_t kDefault = 10;
  const auto most = static_cast<uint64_t>(parsed.number("max-drift", 0, 100, kDefault));
  const std::string session = base::quoted(parsed.value_or("session", ""));
  if (drift.list.empty()) {
    throw base::Refused("cannot check session " + session + ": it has no hot list");
  }
  const bool ok = drift.drift_percent <= most;
  if (base::message_style().json) {
    base::JsonLine json("hot_list_check");
    json.path("path", drift.list).boolean("ok", ok);
    base::write_line_out(json.raw("hot_list", drift.record).str());
  } else if (!ok) {
    base::say_info("session " + session + ": " + std::to_string(drift.drift_percent) +
                   " % of the pages that it needed are not in " + base::quoted(drift.list) +
                   "; record it again");
  }
  return ok ? 0 : 1;
}

// The pages of a packed list must be those of the memory file.
void check_packed(const PackedInput& packed, const std::string& path, const std::string& memory) {
  check_pieces(packed, path);
  if (!is_packed_from(packed.map, base::stat_path(memory))) {
    throw base::Refused("cannot use packed hot list " + base::quoted(path) + " for " +
                        base::quoted(memory) +
                        ": it was packed from another file, or the file was written to since");
  }
}

}  // namespace

int check_verb(int argc, char** argv, const FindDrift& find_drift) {
  base::Options options("hotpage-record check", "[options] --mem FILE LIST|-",
                        "Check that a hot list is for a memory file. Exits with 1 if it is not.");
  options.value("mem", "FILE", "the memory file")
      .value("digest", "DIGEST", "the digest of the memory, as in image.json");
  add_layout_options(options);
  options.value("session", "ID", "instead: check the drift of a session from its list")
      .value("max-drift", "PERCENT", "the most that is accepted (default 10)")
      .value("control", "SOCK", "the socket of its server ($SNAPFORK_PAGER, run directory)");
  if (const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv)) {
    if (parsed->has("session")) {
      parsed->require_operands(0, 0, "");
      return check_drift(*parsed, find_drift(*parsed));
    }
    parsed->require_operands(1, 1, "LIST");
    const std::string memory = required_memory(*parsed);
    const std::string& path = parsed->operands()[0];
    const HotListLayout layout = layout_of(*parsed);
    const std::optional<PackedInput> packed = open_packed(path);
    const HotList list = packed ? packed->map.list : load_list(path, layout);
    check_list_for_file(list, base::input_name(path), layout, memory,
                        parsed->value_or("digest", ""));
    if (packed) {
      check_packed(*packed, path, memory);
    }
    if (base::message_style().json) {
      base::JsonLine json("hot_list_check");
      json.path("path", path).boolean("ok", true);
      base::write_line_out(add_count(json, "entries", count_pages(list.runs))
                               .text("format", packed ? "packed" : name_of(list.format))
                               .str());
    }
  }
  return 0;
}

int readahead_verb(int argc, char** argv) {
  base::Options options("hotpage-record readahead", "[options] --mem FILE LIST|-",
                        "Read the pages of a hot list from a memory file into the page cache.");
  options.value("mem", "FILE", "the memory file");
  add_layout_options(options);
  if (const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv)) {
    parsed->require_operands(1, 1, "LIST");
    const std::string memory = required_memory(*parsed);
    const std::string& path = parsed->operands()[0];
    const HotList list = load_list(path, layout_of(*parsed));
    const HotListLayout layout = layout_for_file(list, path, layout_of(*parsed), memory);
    const std::vector<HotPage> pages = expand(list.runs, list.page_size);
    const Readahead done = read_ahead(pages, base::input_name(path), layout, memory);
    if (base::message_style().json) {
      base::JsonLine json("hot_list_readahead");
      add_count(json.path("path", path), "entries", pages.size());
      add_count(json, "ranges", done.ranges);
      base::write_line_out(add_count(json, "bytes", done.bytes).str());
    }
    base::say_detail("reads " + std::to_string(done.bytes) + " bytes in " +
                     std::to_string(done.ranges) + " ranges");
  }
  return 0;
}

}  // namespace hot
