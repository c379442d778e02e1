// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta load-request: prints the body of PUT /snapshot/load for a guest.
#include <optional>

#include "base/options.h"
#include "base/output.h"
#include "meta/flows/load_request.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "meta/verbs/load_options.h"

namespace meta {
int load_request_command(int argc, char** argv) {
  base::Options options("snapshot-meta load-request", "--backend uffd|file [OPTION]... ID",
                        "Print the body of PUT /snapshot/load for a guest.");
  add_load_options(options);
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  base::write_line_out(load_body_of_guest(store, parse_load_request(parsed, store, id)));
  return 0;
}

}  // namespace meta
