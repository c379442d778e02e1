// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta purge: finishes the removal of an id.
#include <optional>
#include <string>

#include "base/effect.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/flows/leftovers.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"

namespace meta {

int purge_command(int argc, char** argv) {
  base::Options options(
      "snapshot-meta purge", "[OPTION]... ID",
      "Remove leftovers of interrupted commands, and a guest that 'trash' moved.");
  base::add_dry_run(options);
  options.footer(
      "A guest with this id is not touched. Nothing to remove is not an error.\n"
      "Exit status: 0 done, 1 in use, locked or a mount point, 4 a symbolic link,\n"
      "5 system error.");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  const std::vector<std::string> removed = purge(store, id, effect).paths(store, id);
  if (base::is_dry_run(effect)) {
    for (const std::string& path : removed) {
      announce(effect, "remove " + path);
    }
  } else if (base::message_style().json) {
    base::write_line_out(
        base::JsonLine("purge").text("id", id).raw("removed", base::json_array(removed)).str());
  }
  return 0;
}

}  // namespace meta
