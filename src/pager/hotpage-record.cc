// SPDX-License-Identifier: Apache-2.0
// hotpage-record: makes, prints, combines, checks and uses hot lists; holds the table of verbs.
#include <unistd.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/options.h"
#include "base/program.h"
#include "base/verbs.h"
#include "hot/verbs/record_verb.h"
#include "hot/verbs/verbs.h"
#include "pager/ctl/session_trace.h"

namespace {

int record(int argc, char** argv) {
  return hot::record_verb(argc, argv, pager::open_session_trace);
}

int stat(int argc, char** argv) {
  return hot::stat_verb(argc, argv, pager::find_drift);
}

int check(int argc, char** argv) {
  return hot::check_verb(argc, argv, pager::find_drift);
}

// "hotpage-record install" runs "snapshot-meta install-list", the program in the same directory,
// which knows templates and their locks.
int install(int argc, char** argv) {
  base::Options options("hotpage-record install", "[options] ID LIST|-",
                        "Put a hot list into a template, after a check against its memory.");
  options.flag("force", "accept a list that is not exact")
      .flag("dry-run", "check the list, and change nothing");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(2, 2, "ID and LIST");
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string program = self.parent_path() / "snapshot-meta";
  std::string name = "snapshot-meta";
  std::string verb = "install-list";
  std::vector<char*> words{name.data(), verb.data()};
  words.insert(words.end(), argv + 1, argv + argc);
  words.push_back(nullptr);
  ::execv(program.c_str(), words.data());
  base::throw_errno("cannot run " + base::quoted(program));
}

constexpr std::array kVerbs{
    base::Verb{"record", record},
    base::Verb{"show", hot::show_verb},
    base::Verb{"stat", stat},
    base::Verb{"merge", hot::merge_verb},
    base::Verb{"diff", hot::diff_verb},
    base::Verb{"check", check},
    base::Verb{"convert", hot::convert_verb},
    base::Verb{"pack", hot::pack_verb},
    base::Verb{"unpack", hot::unpack_verb},
    base::Verb{"heatmap", hot::heatmap_verb},
    base::Verb{"warm", hot::warm_verb},
    base::Verb{"readahead", hot::readahead_verb},
    base::Verb{"install", install},
};

int run(int argc, char** argv) {
  base::Options options("hotpage-record", "VERB [options] [operands]",
                        "Make, print, combine, check and use lists of hot pages.");
  options.footer(
      "Verbs, each with its own --help:\n"
      "  record [TRACE|-]           make a list of a trace or another source\n"
      "  show LIST                  print its entries\n"
      "  stat LIST                  print counts\n"
      "  merge LIST...              union, intersection or majority of lists\n"
      "  diff LIST LIST             count the pages that both have\n"
      "  check LIST --mem FILE      exit 1 if it is not for the memory file\n"
      "  convert LIST               copy it into another format\n"
      "  pack LIST --mem FILE -o F  write it and its pages into one file\n"
      "  unpack PACKED              check such a file, and write its list\n"
      "  heatmap LIST [LIST]        draw it, or the difference of two lists\n"
      "  warm LIST --mem FILE       read its pages into the page cache, and wait\n"
      "  readahead LIST --mem FILE  begin to read its pages into the page cache\n"
      "  install ID LIST            put it into a template\n"
      "\n"
      "Exit: 0 ok; 1 the list is not for this image; 2 usage; 4 bad list or trace;\n"
      "5 system. See hotpage-record(1).");
  return base::run_verb(kVerbs, options, argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("hotpage-record", argc, argv, run);
}
