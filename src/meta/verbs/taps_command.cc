// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta taps: prints the tap that each network interface of a guest will use.
#include <optional>
#include <string>
#include <vector>

#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/guest/metadata.h"
#include "meta/guest/taps.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "meta/vmstate/vmstate.h"

namespace meta {

int taps_command(int argc, char** argv) {
  base::Options options("snapshot-meta taps", "[OPTION]... ID",
                        "Print the tap that each network interface of a guest will use.");
  options.value("tap", "IFACE=TAP", "use this tap for the interface; may be repeated");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  std::vector<TapName> given;
  for (const std::string& tap : parsed.values("tap")) {
    given.push_back(parse_tap(tap));
  }
  const std::string path = store.state_path(id);
  const std::vector<TapName> chosen = chosen_taps(Metadata::of_guest(store, id), given);
  const std::string bytes = vmstate::read_vmstate_file(path);
  vmstate::VmState state = vmstate::parse_vmstate(bytes, path);
  vmstate::read_devices(bytes, state);
  for (const TapName& tap : used_taps(chosen, state, "cannot load '" + id + "'")) {
    if (base::message_style().json) {
      base::write_line_out(base::JsonLine("tap")
                               .text("id", id)
                               .text("iface_id", tap.iface_id)
                               .text("tap", tap.tap)
                               .str());
    } else {
      base::write_line_out(plain_text(tap.iface_id) + "\t" + plain_text(tap.tap));
    }
  }
  return 0;
}

}  // namespace meta
