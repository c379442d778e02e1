// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta lint: prints what the forks of a guest would share.
#include <optional>
#include <string>
#include <vector>

#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/flows/lint.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"

namespace meta {

int lint_command(int argc, char** argv) {
  base::Options options("snapshot-meta lint", "[OPTION]... ID",
                        "Print what the forks of a guest share although each needs its own.");
  options.footer(
      "Exit: 0 nothing found, 1 something found, 2 usage, 4 bad data, 5 system error.\n");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const std::vector<Hazard> hazards = find_hazards(call->store, call->id);
  for (const Hazard& hazard : hazards) {
    base::write_line_out(base::message_style().json
                             ? base::JsonLine("hazard")
                                   .text("id", call->id)
                                   .text("name", hazard.name)
                                   .text("what", hazard.what)
                                   .text("advice", hazard.advice)
                                   .str()
                             : hazard.name + ": " + plain_text(hazard.what) + "; " + hazard.advice);
  }
  return hazards.empty() ? 0 : 1;
}

}  // namespace meta
