// SPDX-License-Identifier: Apache-2.0
// hotpage-record: makes hot lists from traces; prints, checks and uses hot lists.
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/effect.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/program.h"
#include "hot/hotpage_commands.h"
#include "hot/readahead.h"
#include "hot/trace.h"

namespace {

using Parsed = base::ParsedOptions;

hot::HotListLayout parse_layout(const Parsed& parsed) {
  hot::HotListLayout layout;
  layout.page_size =
      parsed.choice("page-size", {"4096", "2M"}) == "2M" ? hot::kHugePage : hot::kSmallPage;
  if (const std::optional<std::string> text = parsed.value("regions")) {
    const auto regions = hot::parse_region_list(*text, layout.page_size);
    if (!regions || regions->empty()) {
      throw base::UsageError("bad value " + base::quoted(*text) +
                             " for --regions: OFFSET+SIZE,... in bytes is needed");
    }
    layout.regions = *regions;
  }
  return layout;
}

void add_layout(base::Options& options) {
  options.value("regions", "LIST", "regions of the memory file: OFFSET+SIZE,...")
      .value("page-size", "SIZE", "4096 (default) or 2M");
}

int record(int argc, char** argv) {
  base::Options options(
      "hotpage-record record", "[-o FILE] [TRACE|-]",
      "Convert a trace to a hot list (HPL1): each page once, in order of first touch.");
  options.value("o,output", "FILE", "write to FILE, atomically")
      .flag("dry-run", "print what would be written, and write nothing");
  const std::optional<Parsed> parsed = options.parse(argc, argv);
  if (parsed) {
    parsed->require_operands(0, 1, "TRACE");
    hot::RecordRequest request;
    if (!parsed->operands().empty()) {
      request.trace_path = parsed->operands()[0];
    }
    request.list_path = parsed->value("output");
    if (request.list_path == "-") {
      request.list_path.reset();
    }
    request.effect = base::effect_of(*parsed);
    hot::record_hot_list(request);
  }
  return 0;
}

int show(int argc, char** argv) {
  base::Options options("hotpage-record show", "[options] LIST|-",
                        "Print region, offset, and page in the memory file of each entry.");
  add_layout(options);
  if (const std::optional<Parsed> parsed = options.parse(argc, argv)) {
    parsed->require_operands(1, 1, "LIST");
    hot::show_hot_list(hot::read_hot_list(parsed->operands()[0]), parse_layout(*parsed));
  }
  return 0;
}

int stat(int argc, char** argv) {
  base::Options options("hotpage-record stat", "[options] LIST|-",
                        "Print the number of entries, pages, regions and runs of a hot list.");
  options.value("page-size", "SIZE", "4096 (default) or 2M");
  if (const std::optional<Parsed> parsed = options.parse(argc, argv)) {
    parsed->require_operands(1, 1, "LIST");
    const hot::HotListStat found = hot::stat_hot_list(hot::read_hot_list(parsed->operands()[0]),
                                                      parse_layout(*parsed).page_size);
    if (base::message_style().json) {
      base::write_line_out(base::JsonLine("hot_list_stat")
                               .path("path", parsed->operands()[0])
                               .number("entries", static_cast<int64_t>(found.entries))
                               .number("distinct", static_cast<int64_t>(found.distinct))
                               .number("regions", static_cast<int64_t>(found.regions))
                               .number("runs", static_cast<int64_t>(found.runs))
                               .str());
    } else {
      base::write_out("entries: " + std::to_string(found.entries) +
                      "\ndistinct: " + std::to_string(found.distinct) +
                      "\nregions: " + std::to_string(found.regions) +
                      "\nruns: " + std::to_string(found.runs) + "\n");
    }
  }
  return 0;
}

std::string required_memory(const Parsed& parsed) {
  const std::optional<std::string> memory = parsed.value("mem");
  if (!memory) {
    throw base::UsageError("--mem is needed");
  }
  return *memory;
}

int check(int argc, char** argv) {
  base::Options options("hotpage-record check", "[options] --mem FILE LIST|-",
                        "Check that a hot list fits a memory file. Exits with 4 if it does not.");
  options.value("mem", "FILE", "the memory file");
  add_layout(options);
  if (const std::optional<Parsed> parsed = options.parse(argc, argv)) {
    parsed->require_operands(1, 1, "LIST");
    const std::string memory = required_memory(*parsed);
    const std::string& path = parsed->operands()[0];
    const std::vector<hot::HotPage> pages = hot::read_hot_list(path);
    hot::check_hot_list_for_file(pages, path, parse_layout(*parsed), memory);
    if (base::message_style().json) {
      base::write_line_out(base::JsonLine("hot_list_check")
                               .path("path", path)
                               .boolean("ok", true)
                               .number("entries", static_cast<int64_t>(pages.size()))
                               .str());
    }
  }
  return 0;
}

int readahead(int argc, char** argv) {
  base::Options options("hotpage-record readahead", "[options] --mem FILE LIST|-",
                        "Read the pages of a hot list from a memory file into the page cache.");
  options.value("mem", "FILE", "the memory file");
  add_layout(options);
  if (const std::optional<Parsed> parsed = options.parse(argc, argv)) {
    parsed->require_operands(1, 1, "LIST");
    const std::string memory = required_memory(*parsed);
    const std::string& path = parsed->operands()[0];
    const std::vector<hot::HotPage> pages = hot::read_hot_list(path);
    const hot::Readahead done = hot::read_ahead(pages, path, parse_layout(*parsed), memory);
    if (base::message_style().json) {
      base::write_line_out(base::JsonLine("hot_list_readahead")
                               .path("path", path)
                               .number("entries", static_cast<int64_t>(pages.size()))
                               .number("ranges", static_cast<int64_t>(done.ranges))
                               .number("bytes", static_cast<int64_t>(done.bytes))
                               .str());
    }
    base::say_detail("reads " + std::to_string(done.bytes) + " bytes in " +
                     std::to_string(done.ranges) + " ranges");
  }
  return 0;
}

int help(int argc, char** argv) {
  base::Options options("hotpage-record", "COMMAND [options] [operands]",
                        "Make lists of hot pages from page fault traces; print and check them.");
  options.footer(
      "Commands, each with its own --help:\n"
      "  record [-o FILE] [TRACE|-]     convert a trace to a list (HPL1)\n"
      "  show LIST                      print its entries\n"
      "  stat LIST                      print counts\n"
      "  check LIST --mem FILE          exit 4 if it does not fit the memory file\n"
      "  readahead LIST --mem FILE      read its pages into the page cache\n"
      "\n"
      "Exit: 0 ok; 2 usage; 4 bad list or trace; 5 system. See hotpage-record(1).");
  if (const std::optional<Parsed> parsed = options.parse(argc, argv)) {
    parsed->require_operands(1, 0, "a command: record, show, stat, check or readahead");
  }
  return 0;
}

struct Command {
  std::string_view name;
  int (*function)(int argc, char** argv);
};
constexpr std::array<Command, 5> kCommands{{{"record", record},
                                            {"show", show},
                                            {"stat", stat},
                                            {"check", check},
                                            {"readahead", readahead}}};

int run(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  for (const auto& [name, function] : kCommands) {
    if (command == name) {
      return function(argc - 1, argv + 1);
    }
  }
  if (!command.empty() && command.front() != '-') {
    throw base::UsageError("unknown command " + base::quoted(command));
  }
  return help(argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("hotpage-record", argc, argv, run);
}
