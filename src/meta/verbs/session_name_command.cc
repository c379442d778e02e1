// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta session-name: prints the names of guests' sessions at the page server.
#include "store/session_name.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/guest/metadata.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"

namespace meta {

int session_name_command(int argc, char** argv) {
  base::Options options("snapshot-meta session-name", "[OPTION]... ID...",
                        "Print the names of guests' sessions at the page server.");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv, {1, SIZE_MAX, "ID"});
  if (!call) {
    return 0;
  }
  std::vector<std::string> lines;
  for (const std::string& id : id_operands(call->options, 0)) {
    require_guest(call->store, id);
    const std::string name = store::session_name(id, call->store.guest_dir(id));
    lines.push_back(base::message_style().json
                        ? base::JsonLine("session_name").text("id", id).text("name", name).str()
                        : name);
  }
  for (const std::string& line : lines) {
    base::write_line_out(line);
  }
  return 0;
}

}  // namespace meta
