// SPDX-License-Identifier: Apache-2.0
// hotpage-record show and stat: the contents of a list.
#include <optional>
#include <string>

#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/time_text.h"
#include "hot/list_parts.h"
#include "hot/list_sets.h"
#include "hot/verbs/list_files.h"
#include "hot/verbs/verbs.h"

namespace hot {
namespace {

// The page number in the memory file. A list without regions has only region 0, at its start.
std::optional<uint64_t> page_in_file(const HotList& list, uint32_t region, uint64_t offset) {
  if (region < list.regions.size()) {
    return (list.regions[region].offset + offset) / list.page_size;
  }
  return region == 0 && list.regions.empty() ? std::optional(offset / list.page_size)
                                             : std::nullopt;
}

// Prints pages, or with `runs` the parts of runs that have one phase and weight.
void show(const HotList& list, bool runs) {
  const bool json = base::message_style().json;
  for_each_part(list, [&](const HotRun& part, size_t phase, uint32_t weight) {
    const uint64_t step = runs ? part.count : 1;
    for (uint64_t i = 0; i < part.count; i += step) {
      const uint64_t offset = part.offset + i * list.page_size;
      const std::optional<uint64_t> page = page_in_file(list, part.region, offset);
      if (json) {
        base::JsonLine line(runs ? "hot_run" : "hot_page");
        add_count(line.number("region", part.region), "offset", offset);
        line.raw("page", page ? std::to_string(*page) : "null");
        if (runs) {
          line.number("pages", part.count);
        }
        add_count(line, "phase", phase).number("weight", weight);
        base::write_out(line.str() + "\n");
        continue;
      }
      std::string line = std::to_string(part.region) + "\t" + std::to_string(offset) + "\t" +
                         (page ? std::to_string(*page) : "-");
      if (runs) {
        line += "\t" + std::to_string(part.count) + "\t" + std::to_string(phase) + "\t" +
                std::to_string(weight);
      }
      base::write_out(line + "\n");
    }
  });
}

std::string phases_json(const HotList& list) {
  base::JsonList phases;
  for (const HotPhase& phase : list.phases) {
    base::JsonLine line;
    phases.add(add_count(line.text("name", phase.name), "pages", phase.pages).str());
  }
  return phases.str();
}

void print_json(const std::string& path, const HotList& list, const ListStat& stat) {
  base::JsonLine json("hot_list_stat");
  json.path("path", path);
  add_count(json, "entries", stat.entries);
  add_count(json, "distinct", stat.distinct);
  add_count(json, "regions", stat.regions);
  add_count(json, "runs", stat.runs);
  json.text("format", name_of(list.format));
  add_count(json, "page_size", list.page_size);
  add_count(json, "page_bytes", stat.bytes);
  add_count(json, "install_us", stat.install_us);
  json.boolean("exact", list.exact).number("recordings", list.recordings);
  json.raw("phases", phases_json(list));
  if (list.memory_bytes != 0) {
    add_count(json, "memory_bytes", list.memory_bytes);
  } else {
    json.null("memory_bytes");
  }
  list.digest.empty() ? json.null("digest") : json.text("digest", list.digest);
  if (list.created != 0) {
    json.text("created", base::rfc3339_of_ms(list.created * 1000));
  } else {
    json.null("created");
  }
  base::write_line_out(json.text("source", list.source).str());
}

void print_drift(const std::string& session, const SessionDrift& drift) {
  if (base::message_style().json) {
    base::write_line_out(base::JsonLine("hot_list_drift")
                             .text("session_id", session)
                             .raw("hot_list", drift.record)
                             .str());
    return;
  }
  base::write_out("list: " + (drift.list.empty() ? "-" : drift.list) +
                  "\npages: " + std::to_string(drift.pages) +
                  "\nfaults in the list: " + std::to_string(drift.faults_listed) +
                  "\nfaults outside: " + std::to_string(drift.faults_unlisted) +
                  "\ndrift: " + std::to_string(drift.drift_percent) + " %\n");
}

void print_text(const HotList& list, const ListStat& stat) {
  std::string text =
      "entries: " + std::to_string(stat.entries) + "\ndistinct: " + std::to_string(stat.distinct) +
      "\nregions: " + std::to_string(stat.regions) + "\nruns: " + std::to_string(stat.runs) +
      "\nformat: " + name_of(list.format) + "\npage bytes: " + std::to_string(stat.bytes) +
      "\ninstall: " + std::to_string(stat.install_us) + " us, from the page cache (estimate)\n";
  if (list.format == ListFormat::hpl2) {
    text += "memory bytes: " + std::to_string(list.memory_bytes) +
            "\ndigest: " + (list.digest.empty() ? "-" : list.digest) +
            "\nrecordings: " + std::to_string(list.recordings) +
            "\nexact: " + (list.exact ? "yes" : "no") + "\n";
    for (const HotPhase& phase : list.phases) {
      text += "phase: " + (phase.name.empty() ? "-" : phase.name) + ", " +
              std::to_string(phase.pages) + " pages\n";
    }
  }
  base::write_out(text);
}

}  // namespace

int show_verb(int argc, char** argv) {
  base::Options options("hotpage-record show", "[options] LIST|-",
                        "Print region, offset, and page in the memory file of each entry.");
  add_layout_options(options);
  options.flag("runs", "print runs, with pages, phase and weight");
  if (const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv)) {
    parsed->require_operands(1, 1, "LIST");
    show(load_list(parsed->operands()[0], layout_of(*parsed)), parsed->has("runs"));
  }
  return 0;
}

int stat_verb(int argc, char** argv, const FindDrift& find_drift) {
  base::Options options("hotpage-record stat", "[options] LIST|-",
                        "Print the number of entries, pages, regions and runs of a hot list.");
  options.value("page-size", "SIZE", "4096 (default) or 2M")
      .value("session", "ID", "instead: the drift of a session from its list")
      .value("control", "SOCK", "the socket of its server ($SNAPFORK_PAGER, run directory)");
  if (const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv)) {
    if (parsed->has("session")) {
      parsed->require_operands(0, 0, "");
      print_drift(parsed->value_or("session", ""), find_drift(*parsed));
      return 0;
    }
    parsed->require_operands(1, 1, "LIST");
    const std::string& path = parsed->operands()[0];
    const HotList list = load_list(path, layout_of(*parsed));
    const ListStat stat = stat_list(list);
    if (base::message_style().json) {
      print_json(path, list, stat);
    } else {
      print_text(list, stat);
    }
  }
  return 0;
}

}  // namespace hot
