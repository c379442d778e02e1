// SPDX-License-Identifier: Apache-2.0
// hotpage-record merge, diff and convert: lists from lists.
#include <algorithm>
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
#include "hot/list_sets.h"
#include "hot/readahead.h"
#include "hot/verbs/list_files.h"
#include "hot/verbs/verbs.h"

namespace hot {
namespace {

// Standard input can be read once.
void require_one_stdin(const std::vector<std::string>& paths) {
  if (std::ranges::count(paths, "-") > 1) {
    throw base::UsageError("standard input can be only one of the lists");
  }
}

MergeRule rule_of(const base::ParsedOptions& parsed) {
  const int given = (parsed.has("union") ? 1 : 0) + (parsed.has("intersection") ? 1 : 0) +
                    (parsed.has("majority") ? 1 : 0);
  if (given > 1) {
    throw base::UsageError("--union, --intersection and --majority exclude each other");
  }
  return parsed.has("intersection") ? MergeRule::all
         : parsed.has("majority")   ? MergeRule::weight
                                    : MergeRule::any;
}

// Lists of all formats are written as HPL2 if one of them is HPL2, because HPL1 loses weights.
ListFormat format_of(const std::vector<NamedList>& lists) {
  const bool all_old = std::ranges::all_of(
      lists, [](const NamedList& each) { return each.list.format == ListFormat::hpl1; });
  return all_old ? ListFormat::hpl1 : ListFormat::hpl2;
}

std::vector<NamedList> load_all(const base::ParsedOptions& parsed) {
  require_one_stdin(parsed.operands());
  std::vector<NamedList> lists;
  for (const std::string& path : parsed.operands()) {
    lists.push_back(load_named(path, layout_of(parsed)));
  }
  return lists;
}

}  // namespace

int merge_verb(int argc, char** argv) {
  base::Options options("hotpage-record merge", "[options] LIST...",
                        "Merge hot lists of one image: each page once, in order.");
  options.flag("union", "pages of any list (default)")
      .flag("intersection", "pages of every list")
      .value("majority", "K", "pages with a weight of K or more, such as in K lists");
  add_output_options(options);
  add_layout_options(options);
  if (const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv)) {
    parsed->require_operands(1, SIZE_MAX, "LIST");
    const MergeRule rule = rule_of(*parsed);
    const auto least = static_cast<uint64_t>(parsed->number("majority", 1, UINT32_MAX, 1));
    const std::vector<NamedList> lists = load_all(*parsed);
    write_list(merge_lists(lists, rule, least), output_of(*parsed, format_of(lists)));
  }
  return 0;
}

int diff_verb(int argc, char** argv) {
  base::Options options("hotpage-record diff", "[options] LIST LIST",
                        "Count the pages that two hot lists have in common.");
  add_layout_options(options);
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(2, 2, "LIST LIST");
  const std::vector<NamedList> lists = load_all(*parsed);
  const ListDiff diff = diff_lists(lists[0], lists[1]);
  const ListStat first = stat_list(lists[0].list);
  const ListStat second = stat_list(lists[1].list);
  const uint64_t any = diff.both + diff.only_first + diff.only_second;
  constexpr uint64_t kPercent = 100;
  const uint64_t overlap = any == 0 ? kPercent : diff.both * kPercent / any;
  if (base::message_style().json) {
    base::JsonLine json("hot_list_diff");
    add_count(json, "both", diff.both);
    add_count(json, "only_first", diff.only_first);
    add_count(json, "only_second", diff.only_second);
    add_count(json, "overlap_percent", overlap);
    for (const auto& [key, stat] : {std::pair("first", first), std::pair("second", second)}) {
      base::JsonLine part;
      add_count(part, "pages", stat.distinct);
      add_count(part, "runs", stat.runs);
      add_count(part, "page_bytes", stat.bytes);
      json.raw(key, add_count(part, "install_us", stat.install_us).str());
    }
    base::write_line_out(json.str());
  } else {
    const auto two = [](uint64_t a, uint64_t b) {
      return std::to_string(a) + " " + std::to_string(b) + "\n";
    };
    base::write_out(
        "both: " + std::to_string(diff.both) + "\nonly first: " + std::to_string(diff.only_first) +
        "\nonly second: " + std::to_string(diff.only_second) +
        "\noverlap: " + std::to_string(overlap) + " %\nruns: " + two(first.runs, second.runs) +
        "page bytes: " + two(first.bytes, second.bytes) +
        "install us: " + two(first.install_us, second.install_us));
  }
  return 0;
}

int convert_verb(int argc, char** argv) {
  base::Options options("hotpage-record convert", "[options] [LIST|-]",
                        "Copy a hot list into another format.");
  add_output_options(options);
  options.value("mem", "FILE", "the memory file, whose length an HPL2 list needs");
  add_layout_options(options);
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(0, 1, "LIST");
  const std::string path = parsed->operands().empty() ? "-" : parsed->operands()[0];
  const ListOutput output = output_of(*parsed, ListFormat::hpl2);
  HotListLayout layout = layout_of(*parsed);
  HotList list = load_list(path, layout);
  if (list.format == ListFormat::hpl1 && output.format == ListFormat::hpl2) {
    if (const std::optional<std::string> memory = parsed->value("mem")) {
      list.memory_bytes = static_cast<uint64_t>(base::stat_path(*memory).st_size);
      if (list.regions.empty()) {
        list.regions = usual_regions(list.memory_bytes, list.page_size);
      }
    }
    if (list.regions.empty()) {
      throw base::UsageError("an HPL2 list needs --mem FILE or --regions LIST");
    }
    check_hot_list(expand(list.runs, list.page_size), list.regions, base::input_name(path));
    list = without_repeats(std::move(list));
  }
  write_list(list, output);
  return 0;
}

}  // namespace hot
