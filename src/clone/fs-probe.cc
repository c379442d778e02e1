// SPDX-License-Identifier: Apache-2.0
// fs-probe: prints the filesystem of a path, and whether files can share blocks there.
#include <exception>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/program.h"
#include "clone/probe.h"

namespace {

// The paths are independent: after a failure the others are still probed, and the first failure
// gives the exit status.
int run(int argc, char** argv) {
  base::Options options("fs-probe", "[options] PATH...",
                        "Print what filesystem a path is on, and whether files can share blocks "
                        "there.");
  options.footer(
      "Exit: 0 done, 2 usage, 3 this kernel does not report the mount, 5 system error.\n"
      "See fs-probe(1).");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(1, std::numeric_limits<size_t>::max(), "PATH");
  int status = 0;
  bool is_first = true;
  for (const std::string& path : parsed->operands()) {
    try {
      const cloning::ProbeReport report = cloning::probe(path);
      if (base::message_style().json) {
        base::write_line_out(cloning::probe_record(report));
      } else {
        base::write_out((is_first ? "" : "\n") + cloning::probe_lines(report));
        is_first = false;
      }
    } catch (const std::exception& error) {
      const base::ExitCode code = base::exit_code_of(error);
      base::report_failure(code, error.what());
      status = status != 0 ? status : static_cast<int>(code);
    }
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  return base::run_program("fs-probe", argc, argv, run);
}
