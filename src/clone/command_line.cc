// SPDX-License-Identifier: Apache-2.0
// Parses the command line of reflink-clone and checks the combinations.
#include "clone/command_line.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <utility>

#include "base/effect.h"
#include "base/error.h"

namespace cloning {
namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  reflink-clone base.raw vm1.raw vm2.raw\n"
    "  reflink-clone --profile vm guests/base base.copy\n"
    "  reflink-clone --unshare --dig snapshot/memory\n"
    "Exit: 0 done, 1 refused, 2 usage, 3 unsupported, 4 bad data, 5 system error.\n"
    "See reflink-clone(1).";

constexpr int64_t kMostJobs = 256;

// Returns the value for a word that is one of three; the first value if the option is absent.
template <typename Value>
Value choice_of(const base::ParsedOptions& options, const char* name,
                const std::array<std::pair<std::string_view, Value>, 3>& choices) {
  const std::string word =
      options.choice(name, {choices[0].first, choices[1].first, choices[2].first});
  return std::find_if(choices.begin(), choices.end(),
                      [&](const auto& choice) { return choice.first == word; })
      ->second;
}

Request request_of(const base::ParsedOptions& options) {
  Request request;
  request.detail = options.has("json") || options.has("verbose") ? Detail::numbers
                   : options.has("quiet")                        ? Detail::nothing
                                                                 : Detail::warnings;
  request.reflink = choice_of<ReflinkMode>(options, "reflink",
                                           {{{"auto", ReflinkMode::automatic},
                                             {"always", ReflinkMode::always},
                                             {"never", ReflinkMode::never}}});
  request.memory = choice_of<MemoryMode>(
      options, "memory",
      {{{"reflink", MemoryMode::reflink}, {"link", MemoryMode::link}, {"copy", MemoryMode::copy}}});
  request.profile =
      options.choice("profile", {"plain", "vm"}) == "vm" ? Profile::vm : Profile::plain;
  request.excludes = options.values("exclude");
  request.dig = options.has("dig");
  request.sparse = options.has("sparse");
  request.verify = options.has("verify");
  request.replace = options.has("replace");
  request.defrag = options.has("defrag");
  request.effect = base::effect_of(options);
  request.durable = options.has("durable") ? base::Durable::yes : base::Durable::no;
  if (options.has("max-extents")) {
    request.max_extents = options.number("max-extents", 1, std::numeric_limits<int64_t>::max(), 1);
  }
  request.jobs = static_cast<int>(options.number("jobs", 1, kMostJobs, 1));
  return request;
}

ProgressMode progress_of(const base::ParsedOptions& options) {
  return choice_of<ProgressMode>(options, "progress",
                                 {{{"auto", ProgressMode::automatic},
                                   {"always", ProgressMode::always},
                                   {"never", ProgressMode::never}}});
}

Job job_of(const base::ParsedOptions& options) {
  Job job = Job::clone;
  std::string chosen;
  const auto choose = [&](const char* name, Job its) {
    if (options.has(name)) {
      if (!chosen.empty()) {
        throw base::UsageError("--" + chosen + " and --" + name + " exclude each other");
      }
      chosen = name;
      job = its;
    }
  };
  choose("unshare", Job::in_place);
  choose("stat", Job::stat);
  choose("clean", Job::clean);
  const bool changes_one_file =
      (options.has("dig") || options.has("defrag")) && options.operands().size() == 1;
  return chosen.empty() && changes_one_file ? Job::in_place : job;
}

void require_different(const std::vector<std::string>& operands) {
  const std::set<std::string> names(operands.begin() + 1, operands.end());
  for (const std::string& name : names) {
    if (std::count(operands.begin() + 1, operands.end(), name) > 1) {
      throw base::UsageError("DST " + base::quoted(name) + " is given twice");
    }
  }
}

}  // namespace

base::Options make_options() {
  base::Options options("reflink-clone", "[options] SRC DST...",
                        "Clone a file or a directory by sharing its blocks, all or nothing.");
  options.group("Contents")
      .value("reflink", "WHEN", "auto (copy if sharing fails), always, never")
      .flag("sparse", "copy long runs of zeros as holes")
      .flag("dig", "turn long zeros into holes; without DST: in SRC")
      .flag("steady", "refuse a SRC that changes while it is cloned")
      .flag("verify", "compare with SRC before DST appears")
      .value("max-extents", "N", "refuse to reflink a file that has more")
      .flag("defrag", "rewrite a SRC that has more; DST may be left out")
      .value("profile", "NAME", "plain, or vm: omit files of the running VMM")
      .value("memory", "HOW", "snapshots/*/memory: reflink, link (sealed), copy")
      .value("exclude", "GLOB", "omit matching entries; may be repeated")
      .group("Making")
      .flag("replace", "replace an existing DST")
      .flag("durable", "flush to the disk before DST appears")
      .value("jobs", "N", "threads that copy (1)")
      .value("progress", "WHEN", "auto (on a terminal), always, never")
      .flag("dry-run", "print what would be done, change nothing")
      .group("Action")
      .flag("unshare", "FILE...: give a file with links its own inode")
      .flag("stat", "FILE...: print extents, shared bytes, holes")
      .value("clean", "DIR", "remove the leftovers of killed runs")
      .footer(kFooter);
  return options;
}

CommandLine command_line_of(const base::ParsedOptions& options) {
  constexpr size_t kAny = std::numeric_limits<size_t>::max();
  CommandLine line{.job = job_of(options),
                   .request = request_of(options),
                   .unshare = options.has("unshare"),
                   .progress = progress_of(options),
                   .path = options.value_or("clean", ""),
                   .operands = options.operands()};
  switch (line.job) {
    case Job::clean:
      options.require_operands(0, 0, "no operands");
      break;
    case Job::stat:
      options.require_operands(1, kAny, "FILE");
      break;
    case Job::in_place:
      options.require_operands(1, kAny, "FILE");
      for (const char* name : {"profile", "exclude", "memory", "replace"}) {
        if (options.has(name)) {
          throw base::UsageError("--" + std::string(name) + " is for a clone, not for a FILE");
        }
      }
      break;
    case Job::clone:
      options.require_operands(2, kAny, "SRC and DST");
      require_different(options.operands());
      if (options.has("memory") && line.request.profile != Profile::vm) {
        throw base::UsageError("--memory needs --profile vm");
      }
      break;
  }
  line.request.steady =
      options.has("steady") || line.request.profile == Profile::vm || line.unshare;
  return line;
}

}  // namespace cloning
