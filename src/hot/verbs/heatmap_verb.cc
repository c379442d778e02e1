// SPDX-License-Identifier: Apache-2.0
// hotpage-record heatmap: a picture of one list, or of the difference of two.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "file/next_data.h"
#include "hot/heatmap.h"
#include "hot/verbs/list_files.h"
#include "hot/verbs/verbs.h"

namespace hot {
namespace {

void read_data_map(const std::string& path, HeatmapRequest& request) {
  const base::Fd fd = base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  const struct stat st = base::stat_fd(fd.get(), path);
  if (!S_ISREG(st.st_mode)) {
    throw base::BadData("cannot use memory file " + base::quoted(path) +
                        ": it is not a regular file");
  }
  request.memory_bytes = static_cast<uint64_t>(st.st_size);
  for (const file::ByteRange& range : file::list_data(fd.get(), st.st_size, path)) {
    request.data.emplace_back(range.begin, range.end);
  }
}

void print_record(const std::optional<std::string>& path, const Heatmap& map, bool svg) {
  base::JsonLine json("heatmap");
  if (path) {
    json.path("path", *path);
  } else {
    json.null("path");
  }
  json.number("side", map.side());
  add_count(json, "pages_per_cell", map.pages_per_cell());
  if (svg) {
    const SvgGrid grid = svg_grid(map);
    json.number("left", static_cast<int64_t>(grid.left))
        .number("top", static_cast<int64_t>(grid.top))
        .number("cell", static_cast<int64_t>(grid.cell));
  }
  base::JsonList legend;
  for (const Heatmap::Entry& entry : map.legend()) {
    base::JsonLine line;
    line.text("color", entry.color).text("text", entry.text);
    legend.add(add_count(line, "pages", entry.pages).str());
  }
  base::write_line_out(json.raw("legend", legend.str()).str());
}

}  // namespace

int heatmap_verb(int argc, char** argv) {
  base::Options options("hotpage-record heatmap", "[options] LIST|- [LIST]",
                        "Draw the hot pages in the memory as SVG; of two lists, a comparison.");
  options.value("o,output", "FILE", "write to FILE, atomically")
      .flag("terminal", "colored blocks for a terminal with 256 colors")
      .value("order", "ORDER", "hilbert (default): near pages are near; or rows")
      .value("color", "BY", "phase (default) or weight")
      .value("mem", "FILE", "the memory file, to show which parts are holes");
  add_layout_options(options);
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(1, 2, "LIST");
  std::optional<std::string> path = parsed->value("output");
  if (path == "-") {
    path.reset();
  }
  if (base::message_style().json && !path) {
    throw base::UsageError("--json needs -o FILE: the picture itself goes to standard output");
  }
  HeatmapRequest request{
      .order = parsed->choice("order", {"hilbert", "rows"}) == "rows" ? HeatmapOrder::rows
                                                                      : HeatmapOrder::hilbert,
      .color = parsed->choice("color", {"phase", "weight"}) == "weight" ? HeatmapColor::weight
                                                                        : HeatmapColor::phase};
  std::vector<NamedList> lists;
  for (const std::string& operand : parsed->operands()) {
    lists.push_back(load_named(operand, layout_of(*parsed)));
  }
  if (const std::optional<std::string> memory = parsed->value("mem")) {
    read_data_map(*memory, request);
  }
  const bool svg = !parsed->has("terminal");
  constexpr uint32_t kSvgSide = 128;
  constexpr uint32_t kBlocksSide = 64;
  const Heatmap map(lists, request, svg ? kSvgSide : kBlocksSide);
  const std::string picture = svg ? heatmap_svg(map) : heatmap_blocks(map);
  if (path) {
    base::write_file_atomic(*path, picture, 0644, base::Durable::no);
  } else {
    base::write_full(STDOUT_FILENO, picture, "standard output");  // with its escape sequences
  }
  if (base::message_style().json) {
    print_record(path, map, svg);
  }
  return 0;
}

}  // namespace hot
