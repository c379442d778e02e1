// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta guard-create: prints whether a snapshot may be written now.
#include <optional>
#include <string>

#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/flows/create_guard.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"

namespace meta {

int guard_create_command(int argc, char** argv) {
  base::Options options("snapshot-meta guard-create", "--type full|diff [OPTION]... ID",
                        "Check whether Firecracker may write a snapshot into a guest's files now.");
  options.value("type", "full|diff", "the snapshot_type of PUT /snapshot/create");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  if (!parsed.has("type")) {
    throw base::UsageError("--type full or --type diff is required");
  }
  const std::string type = parsed.choice("type", {"full", "diff"});
  const CreateAnswer answer =
      guard_create(store, id, type == "full" ? SnapshotType::full : SnapshotType::diff);
  for (const std::string& warning : answer.warnings) {
    base::say_warning(warning);
  }
  const bool allowed = answer.refusal.empty();
  if (!allowed) {
    base::say_error(answer.refusal);
  }
  if (base::message_style().json) {
    base::JsonLine line("guard-create");
    line.text("id", id).text("snapshot_type", type).boolean("allowed", allowed);
    allowed ? line.null("reason") : line.text("reason", answer.refusal);
    base::write_line_out(line.raw("warnings", base::json_array(answer.warnings))
                             .path("memory_path", answer.memory_path)
                             .number("memory_links", static_cast<int64_t>(answer.memory_links))
                             .str());
  }
  return allowed ? 0 : 1;
}

}  // namespace meta
