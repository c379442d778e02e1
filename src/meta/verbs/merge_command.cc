// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta merge-diff.
#include <optional>
#include <string>

#include "base/effect.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/flows/merge_diff.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "store/files.h"

namespace meta {

int merge_diff_command(int argc, char** argv) {
  base::Options options("snapshot-meta merge-diff", "[OPTION]... DIFF MEMORY",
                        "Write the pages that a Diff memory file holds into a copy of its base.");
  base::add_dry_run(options);
  options.flag("of-copy", "with --dry-run: check a copy of MEMORY that will be made");
  options.footer(
      "MEMORY is changed in place. DIFF must have the holes that Firecracker made:\n"
      "a hole means 'not changed', and zeros that are data mean 'changed to zero'.");
  const std::optional<base::ParsedOptions> parsed =
      parse_operands(options, argc, argv, {2, 2, "DIFF and MEMORY"});
  if (!parsed) {
    return 0;
  }
  const std::string& memory = parsed->operands()[1];
  const base::Effect effect = base::effect_of(*parsed);
  const Target target = parsed->has("of-copy") ? Target::copy_to_be_made : Target::memory;
  if (target == Target::copy_to_be_made && effect == base::Effect::real) {
    throw base::UsageError("--of-copy requires --dry-run");
  }
  const MergedDiff merged =
      merge_diff(store::Store(store::absolute_path(store::Store::from_environment().root())),
                 parsed->operands()[0], memory, target, effect);
  if (base::is_dry_run(effect)) {
    announce(effect, "write " + std::to_string(merged.bytes) + " bytes into " + memory);
  } else if (base::message_style().json) {
    base::write_line_out(base::JsonLine("merge")
                             .path("path", memory)
                             .number("bytes", static_cast<int64_t>(merged.bytes))
                             .number("extents", static_cast<int64_t>(merged.extents))
                             .str());
  } else {
    base::say_detail("wrote " + std::to_string(merged.bytes) + " bytes in " +
                     std::to_string(merged.extents) + " extents into '" + memory + "'");
  }
  return 0;
}

}  // namespace meta
