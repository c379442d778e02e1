// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta install-list.
#include <optional>
#include <string>

#include "base/effect.h"
#include "base/input.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "hot/hot_list.h"
#include "meta/flows/install_list.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"

namespace meta {

int install_list_command(int argc, char** argv) {
  base::Options options("snapshot-meta install-list", "[OPTION]... ID LIST|-",
                        "Put a hot list into a template, after a check against its memory.");
  base::add_dry_run(options);
  options.flag("force", "accept a list that is not exact");
  const std::optional<GuestCall> call =
      parse_guest_call(options, argc, argv, {2, 2, "ID and LIST"});
  if (!call) {
    return 0;
  }
  const std::string& path = call->options.operands()[1];
  const InstalledList installed =
      install_list(call->store, call->id, base::read_input(path, hot::kMaxHotListBytes),
                   base::input_name(path), call->options.has("force"), call->effect);
  if (base::is_dry_run(call->effect)) {
    announce(call->effect,
             "install " + std::to_string(installed.pages) + " hot pages in '" + call->id + "'");
  } else if (base::message_style().json) {
    base::write_line_out(base::JsonLine("install_list")
                             .text("id", call->id)
                             .number("pages", static_cast<int64_t>(installed.pages))
                             .boolean("hpl2", installed.has_hpl2)
                             .str());
  } else {
    base::say_detail("installed " + std::to_string(installed.pages) + " hot pages in '" + call->id +
                     "'");
  }
  return 0;
}

}  // namespace meta
