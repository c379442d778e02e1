// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta backend: prints how the memory of a guest is best loaded.
#include <optional>
#include <string>

#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/flows/backend.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"

namespace meta {

int backend_command(int argc, char** argv) {
  base::Options options("snapshot-meta backend", "[OPTION]... ID",
                        "Print the back end that suits the memory of a guest, and why.");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  const BackendChoice choice = choose_backend(store, id, "auto");
  const char* const name = backend_name(choice.backend);
  base::write_line_out(base::message_style().json ? base::JsonLine("backend")
                                                        .text("id", id)
                                                        .text("backend", name)
                                                        .text("reason", choice.reason)
                                                        .str()
                                                  : name + ("\t" + choice.reason));
  return 0;
}

}  // namespace meta
