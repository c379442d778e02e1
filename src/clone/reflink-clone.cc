// SPDX-License-Identifier: Apache-2.0
// reflink-clone: copies files and trees by sharing their blocks; a copy is complete or absent.
#include <sys/stat.h>

#include <csignal>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "base/descriptor_limit.h"
#include "base/effect.h"
#include "base/error.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/program.h"
#include "clone/clean.h"
#include "clone/clone.h"
#include "clone/command_line.h"
#include "clone/defrag.h"
#include "clone/in_place.h"
#include "clone/progress.h"
#include "clone/report.h"
#include "clone/request.h"
#include "clone/source_file.h"
#include "clone/stat.h"

namespace {

using cloning::CommandLine;
using cloning::Job;
using cloning::Progress;

// Files of at least this size have their own line in the report. With -v all files have.
constexpr int64_t kWorthALine = 1 << 20;

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

// Does `work` for each name. The names are independent: after a failure the others are still done,
// and the first failure gives the exit status.
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
      const bool is_memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
      base::report_failure(code, is_memory ? "cannot process " + base::quoted(*name) +
                                                 ": out of memory; use fewer "
                                                 "--jobs"
                                           : error.what());
      status = status != 0 ? status : static_cast<int>(code);
    }
  }
  return status;
}

void warn_of_copies(const cloning::CopyNotice& notice, base::Effect effect) {
  if (const std::optional<std::string> text = notice.text(effect)) {
    base::say_warning(*text);
  }
}

int change_files(const CommandLine& line, Progress& progress) {
  cloning::CopyNotice notice;
  const int status = for_each_name(
      line.operands.begin(), line.operands.end(), progress, [&](const std::string& file) {
        const cloning::InPlaceReport report =
            cloning::change_in_place(file, line.unshare, line.request, progress);
        progress.erase();
        print(report);
        notice.add(report.file);
      });
  warn_of_copies(notice, line.request.effect);
  return status;
}

int stat_files(const CommandLine& line, Progress& progress) {
  return for_each_name(
      line.operands.begin(), line.operands.end(), progress, [](const std::string& file) {
        const cloning::StatReport report = cloning::stat_file(file);
        base::write_out(base::message_style().json ? cloning::stat_record(report) + "\n"
                                                   : cloning::stat_line(report));
      });
}

int make_clones(const CommandLine& line, Progress& progress) {
  cloning::SourceFile src = cloning::open_operand(line.operands.front());
  if (line.request.defrag) {
    cloning::defragment_operand(src, line.request, progress);
  }
  cloning::CopyNotice notice;
  const int status = for_each_name(
      line.operands.begin() + 1, line.operands.end(), progress, [&](const std::string& dst) {
        const cloning::CloneReport report = cloning::clone_to(src, dst, line.request, progress);
        progress.erase();
        print(report);
        notice.add(report);
      });
  warn_of_copies(notice, line.request.effect);
  return status;
}

void clean(const CommandLine& line) {
  const base::MessageStyle& style = base::message_style();
  const base::Effect effect = line.request.effect;
  for (const cloning::Leftover& leftover : cloning::remove_leftovers(line.path, effect)) {
    if (style.json) {
      base::write_line_out(cloning::leftover_record(leftover, effect));
    } else if (style.verbosity != base::Verbosity::quiet) {
      base::write_out(cloning::leftover_line(leftover, effect));
    }
  }
}

int run(int argc, char** argv) {
  const std::optional<base::ParsedOptions> options = cloning::make_options().parse(argc, argv);
  if (!options) {
    return 0;
  }
  const CommandLine line = cloning::command_line_of(*options);
  // Modes are those of the source, and nothing is visible before it has them.
  ::umask(0);
  // A file that becomes too large then gives EFBIG and a message; SIGXFSZ would end the process.
  static_cast<void>(std::signal(SIGXFSZ, SIG_IGN));
  base::raise_descriptor_limit();
  Progress progress(line.progress);
  switch (line.job) {
    case Job::clean:
      clean(line);
      return 0;
    case Job::stat:
      return stat_files(line, progress);
    case Job::in_place:
      return change_files(line, progress);
    case Job::clone:
      return make_clones(line, progress);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("reflink-clone", argc, argv, run);
}
