// reflink-clone: a copy of a file or a tree that shares its blocks, and is there as a whole or not
// at all. SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <csignal>
#include <exception>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/program.h"
#include "clone/clone.h"
#include "clone/directory.h"
#include "clone/in_place.h"
#include "clone/probe.h"
#include "clone/progress.h"
#include "clone/report.h"
#include "clone/request.h"

namespace {

constexpr const char* kFooter =
    "FILEs are changed in place: with --unshare, and with --dig and one operand.\n"
    "Examples:\n"
    "  reflink-clone base.raw vm1.raw vm2.raw\n"
    "  reflink-clone --profile vm --memory=link guests/base guests/fork\n"
    "  reflink-clone --unshare --dig snapshot/memory\n"
    "Exit: 0 done, 1 refused, 2 usage, 3 unsupported, 4 bad data, 5 system error.\n"
    "See reflink-clone(1).";

// Files from this size on have a line of their own in the report; with -v all have.
constexpr int64_t kWorthALine = 1 << 20;

enum class Job { clone, in_place, probe };

struct CommandLine {
  Job job = Job::clone;
  cloning::Request request;
  bool unshare = false;
  std::string probe_path;
  std::vector<std::string> operands;
};

base::Options make_options() {
  base::Options options("reflink-clone", "[options] SRC DST... | --unshare FILE... | --dig FILE",
                        "Clone a file or a directory by sharing its blocks, all or nothing.");
  options.group("Contents")
      .value("reflink", "WHEN", "auto (copy what cannot share), always, never")
      .value("memory", "HOW", "snapshots/*/memory: reflink, link (sealed), copy")
      .flag("dig", "make holes where data is zero")
      .value("max-extents", "N", "refuse to reflink a file that has more")
      .group("Trees")
      .value("profile", "NAME", "plain, or vm: leave out what is the VMM's own")
      .value("exclude", "GLOB", "leave out; may be repeated")
      .group("Actions")
      .flag("unshare", "give a FILE with several links an inode of its own")
      .value("probe", "PATH", "say what the filesystem is and can")
      .flag("durable", "flush to the disk before the name appears")
      .flag("dry-run", "say what would be done, change nothing")
      .footer(kFooter);
  return options;
}

cloning::Request request_of(const base::ParsedOptions& options) {
  cloning::Request request;
  const std::string reflink = options.choice("reflink", {"auto", "always", "never"});
  request.reflink = reflink == "always"  ? cloning::ReflinkMode::always
                    : reflink == "never" ? cloning::ReflinkMode::never
                                         : cloning::ReflinkMode::automatic;
  const std::string memory = options.choice("memory", {"reflink", "link", "copy"});
  request.memory = memory == "link"   ? cloning::MemoryMode::link
                   : memory == "copy" ? cloning::MemoryMode::copy
                                      : cloning::MemoryMode::reflink;
  request.profile = options.choice("profile", {"plain", "vm"}) == "vm" ? cloning::Profile::vm
                                                                       : cloning::Profile::plain;
  request.excludes = options.values("exclude");
  request.dig = options.has("dig");
  request.dry_run = options.has("dry-run");
  request.durable = options.has("durable") ? base::Durable::yes : base::Durable::no;
  request.max_extents = options.number("max-extents", 1, std::numeric_limits<int64_t>::max(), 0);
  return request;
}

CommandLine command_line_of(const base::ParsedOptions& options) {
  constexpr size_t kAny = std::numeric_limits<size_t>::max();
  CommandLine line{.request = request_of(options),
                   .unshare = options.has("unshare"),
                   .probe_path = options.value_or("probe", ""),
                   .operands = options.operands()};
  if (options.has("probe")) {
    line.job = Job::probe;
    options.require_operands(0, 0, "no operands");
    return line;
  }
  line.job =
      line.unshare || (line.request.dig && line.operands.size() == 1) ? Job::in_place : Job::clone;
  if (line.job == Job::in_place) {
    options.require_operands(1, kAny, "FILE");
    if (options.has("profile") || options.has("exclude") || options.has("memory")) {
      throw base::UsageError("--profile, --exclude and --memory are for trees, not for a FILE");
    }
  } else {
    options.require_operands(2, kAny, "SRC and DST");
    if (options.has("memory") && line.request.profile != cloning::Profile::vm) {
      throw base::UsageError("--memory needs --profile vm");
    }
  }
  line.request.steady = line.request.profile == cloning::Profile::vm || line.unshare;
  return line;
}

void print(const cloning::CloneReport& report) {
  const base::MessageStyle& style = base::message_style();
  if (style.json) {
    for (const cloning::FileReport& file : report.files) {
      base::write_out(cloning::file_record(file));
      base::write_out("\n");
    }
    base::write_line_out(cloning::total_record(report));
  } else if (style.verbosity != base::Verbosity::quiet) {
    base::write_out(
        cloning::file_lines(report, style.verbosity == base::Verbosity::verbose ? 0 : kWorthALine));
    base::write_out(cloning::total_line(report));
  }
}

void print(const cloning::InPlaceReport& report) {
  const base::MessageStyle& style = base::message_style();
  if (style.json) {
    base::write_line_out(cloning::in_place_record(report));
  } else if (style.verbosity != base::Verbosity::quiet) {
    base::write_out(cloning::in_place_line(report));
  }
}

// Does `work` for each name. One that fails does not keep the others from being done: each stands
// for itself, and the first failure gives the exit status.
template <typename Work>
int for_each_name(std::vector<std::string>::const_iterator begin,
                  std::vector<std::string>::const_iterator end, cloning::Progress& progress,
                  Work work) {
  int status = 0;
  for (auto name = begin; name != end; ++name) {
    try {
      work(*name);
    } catch (const std::exception& error) {
      progress.erase();
      const base::ExitCode code = base::exit_code_of(error);
      base::report_failure(code, error.what());
      status = status != 0 ? status : static_cast<int>(code);
    }
  }
  return status;
}

int run(int argc, char** argv) {
  const std::optional<base::ParsedOptions> options = make_options().parse(argc, argv);
  if (!options) {
    return 0;
  }
  const CommandLine line = command_line_of(*options);
  if (line.job == Job::probe) {
    const cloning::ProbeReport report = cloning::probe(line.probe_path);
    base::write_out(base::message_style().json ? cloning::probe_record(report) + "\n"
                                               : cloning::probe_lines(report));
    return 0;
  }
  // Modes are those of the source, and nothing is visible before it has them.
  ::umask(0);
  // A file that gets too long is an error (EFBIG) with a message, not a death.
  static_cast<void>(std::signal(SIGXFSZ, SIG_IGN));
  cloning::raise_descriptor_limit();
  cloning::Progress progress;
  if (line.job == Job::in_place) {
    return for_each_name(line.operands.begin(), line.operands.end(), progress,
                         [&](const std::string& file) {
                           const cloning::InPlaceReport report =
                               cloning::change_in_place(file, line.unshare, line.request, progress);
                           progress.erase();
                           print(report);
                         });
  }
  const cloning::SourceFile src = cloning::open_operand(line.operands.front());
  return for_each_name(
      line.operands.begin() + 1, line.operands.end(), progress, [&](const std::string& dst) {
        const cloning::CloneReport report = cloning::clone_to(src, dst, line.request, progress);
        progress.erase();
        print(report);
      });
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("reflink-clone", argc, argv, run);
}
