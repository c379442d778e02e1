// SPDX-License-Identifier: Apache-2.0
// Reads lists from files and pipes, and writes them atomically.
#include "hot/verbs/list_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/file_status.h"
#include "base/input.h"
#include "base/message.h"
#include "base/output.h"
#include "hot/readahead.h"
#include "hot/trace.h"

namespace hot {

void add_layout_options(base::Options& options) {
  options.value("regions", "LIST", "regions of the memory file: OFFSET+SIZE,...")
      .value("page-size", "SIZE", "4096 (default) or 2M");
}

HotListLayout layout_of(const base::ParsedOptions& parsed) {
  HotListLayout layout;
  layout.page_size = parsed.choice("page-size", {"4096", "2M"}) == "2M" ? kHugePage : kSmallPage;
  if (const std::optional<std::string> text = parsed.value("regions")) {
    const auto regions = parse_region_list(*text, layout.page_size);
    if (!regions || regions->empty()) {
      throw base::UsageError("bad value " + base::quoted(*text) +
                             " for --regions: OFFSET+SIZE,... in bytes is needed");
    }
    layout.regions = *regions;
  }
  return layout;
}

std::string required_memory(const base::ParsedOptions& parsed) {
  const std::optional<std::string> memory = parsed.value("mem");
  if (!memory) {
    throw base::UsageError("--mem is needed");
  }
  return *memory;
}

std::optional<PackedInput> open_packed(const std::string& path) {
  const std::optional<struct stat> st = path == "-" ? std::nullopt : base::try_stat_path(path);
  if (!st || !S_ISREG(st->st_mode)) {
    return std::nullopt;  // a pipe can be read once, as a list
  }
  base::Fd fd = base::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!is_packed(fd.get(), path)) {
    return std::nullopt;
  }
  PackedMap map = read_packed_map(fd.get(), path, kMaxListedPages);
  return PackedInput{.fd = std::move(fd), .map = std::move(map)};
}

void check_pieces(const PackedInput& packed, const std::string& path) {
  std::vector<std::byte> piece;
  for (uint64_t i = 0; i < packed.map.checksums.size(); ++i) {
    piece.resize(packed.map.piece_bytes(i));
    const size_t got =
        base::pread_full(packed.fd.get(), piece, static_cast<off_t>(packed.map.piece_at(i)), path);
    const std::string problem = piece_problem(packed.map, i, std::span(piece).first(got));
    if (!problem.empty()) {
      throw base::BadData("cannot use packed hot list " + base::quoted(path) + ": " + problem);
    }
  }
}

HotList load_list(const std::string& path, const HotListLayout& layout) {
  if (std::optional<PackedInput> packed = open_packed(path)) {
    return std::move(packed->map.list);
  }
  HotList list = parse_hot_list(base::read_input(path, kMaxHotListBytes), base::input_name(path),
                                kMaxListedPages);
  if (list.format == ListFormat::hpl1) {
    list.page_size = layout.page_size;
    list.regions = layout.regions;
    for (const Region& region : list.regions) {
      list.memory_bytes = std::max(list.memory_bytes, region.offset + region.size);
    }
  }
  return list;
}

NamedList load_named(const std::string& path, const HotListLayout& layout) {
  return {.name = base::input_name(path), .list = load_list(path, layout)};
}

HotListLayout layout_for_file(const HotList& list, const std::string& path, HotListLayout layout,
                              const std::string& memory) {
  if (list.format == ListFormat::hpl1 && layout.regions.empty()) {
    layout.regions =
        usual_regions(static_cast<uint64_t>(base::stat_path(memory).st_size), layout.page_size);
  }
  check_list_for_file(list, base::input_name(path), layout, memory, "");
  return list.format == ListFormat::hpl1
             ? layout
             : HotListLayout{.regions = list.regions, .page_size = list.page_size};
}

void add_output_options(base::Options& options) {
  options.value("o,output", "FILE", "write to FILE, atomically")
      .value("format", "FORMAT", "hpl1 or hpl2 (default: by the name of FILE)")
      .flag("dry-run", "print what would be written, and write nothing");
}

ListOutput output_of(const base::ParsedOptions& parsed, ListFormat fallback) {
  ListOutput output{.path = parsed.value("output"), .effect = base::effect_of(parsed)};
  if (output.path == "-") {
    output.path.reset();
  }
  const bool named_hpl2 = output.path && output.path->ends_with(".hpl2");
  output.format = named_hpl2 ? ListFormat::hpl2 : fallback;
  if (parsed.has("format")) {
    output.format =
        parsed.choice("format", {"hpl1", "hpl2"}) == "hpl2" ? ListFormat::hpl2 : ListFormat::hpl1;
  }
  if (!output.path && !base::is_dry_run(output.effect)) {
    if (base::message_style().json) {
      throw base::UsageError("--json needs -o FILE: the list itself goes to standard output");
    }
    base::refuse_terminal_output("a hot list", "use -o FILE, or a pipe");
  }
  if (output.path) {
    base::require_writable_name(*output.path);
  }
  return output;
}

void write_list(const HotList& list, const ListOutput& output) {
  const std::string bytes = encode_hot_list(list, output.format);
  const uint64_t pages = count_pages(list.runs);
  const std::string where = output.path ? base::quoted(*output.path) : "standard output";
  const std::string what =
      std::to_string(pages) + " pages, " + std::to_string(bytes.size()) + " bytes, to " + where;
  const bool writes = !base::is_dry_run(output.effect);
  if (writes && output.path) {
    base::write_file_atomic(*output.path, bytes, 0644, base::Durable::yes);
  } else if (writes) {
    base::write_out(bytes);
  }
  if (writes) {
    base::say_detail("wrote " + what);
  }
  if (base::message_style().json) {
    base::JsonLine record("hot_list");
    if (output.path) {
      record.path("path", *output.path);
    } else {
      record.null("path");
    }
    record.boolean("written", writes);
    add_count(record, "entries", pages);
    add_count(record, "bytes", bytes.size());
    base::write_line_out(
        record.text("format", name_of(output.format)).boolean("exact", list.exact).str());
  } else if (!writes) {
    base::write_line_out("would write " + what);
  }
}

const char* name_of(ListFormat format) {
  return format == ListFormat::hpl1 ? "hpl1" : "hpl2";
}

base::JsonLine& add_count(base::JsonLine& json, std::string_view key, uint64_t value) {
  return json.number(key, static_cast<int64_t>(value));
}

}  // namespace hot
