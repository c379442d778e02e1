// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta host-check: compares this host with that of a snapshot.
#include <optional>
#include <string>
#include <vector>

#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/guest/host_record.h"
#include "meta/guest/metadata.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"

namespace meta {

int host_check_command(int argc, char** argv) {
  base::Options options("snapshot-meta host-check", "[OPTION]... ID",
                        "Print how this host differs from the one that made the snapshot.");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const Metadata metadata = Metadata::of_guest(call->store, call->id);
  const std::vector<std::string> differences = host_differences(metadata, this_host());
  if (base::message_style().json) {
    base::write_line_out(base::JsonLine("host-check")
                             .text("id", call->id)
                             .boolean("recorded", recorded_host(metadata).has_value())
                             .raw("differences", base::json_array(differences))
                             .str());
  } else {
    for (const std::string& text : differences) {
      base::write_line_out(plain_text(text));
    }
  }
  return differences.empty() ? 0 : 1;
}

}  // namespace meta
