// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta run-prepare: checks that a guest can run, and prints what a run needs.
#include <optional>
#include <string>

#include "base/effect.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/flows/run_prepare.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "meta/verbs/run_facts.h"
#include "store/files.h"
#include "store/run_dir.h"

namespace meta {
namespace {

// A file of the guest, or one that all forks use.
void print_files(const RunPreparation& run, const std::string& guest_dir) {
  for (const OwnPaths::Path& path : run.paths.paths) {
    if (path.role != vmstate::Role::vsock) {
      base::write_line_out((path.path.starts_with(guest_dir + "/") ? "file\t" : "shared\t") +
                           plain_text(path.path));
    }
  }
}

}  // namespace

int run_prepare_command(int argc, char** argv) {
  base::Options options("snapshot-meta run-prepare", "[OPTION]... ID",
                        "Check that a guest can run, and print what starting it needs.");
  options.value("tap", "IFACE=TAP", "use this tap for the interface; may be repeated")
      .value("vsock-dir", "DIR", "as in own-paths")
      .flag("jail", "for a jail, which is given only files that have no other name");
  add_force(options);
  base::add_dry_run(options);
  options.footer(
      "Does what own-paths does. Prints lines: 'session NAME', 'vsock PATH',\n"
      "'tap TAP IFACE', 'backend uffd|file|unsure REASON', 'hot-list PATH', with tabs.\n"
      "unsure: uffd if its session waits at the page server, else file.\n"
      "With --jail also 'file PATH' and 'shared PATH', for each file that loading opens.");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  const std::optional<std::string> vsock_dir = parsed.value("vsock-dir");
  RunPrepareRequest request{
      .vsock_dir = vsock_dir ? store::absolute_path(*vsock_dir) : store::find_vsock_dir(),
      .taps = {},
      .force = force_of(parsed),
      .in_jail = parsed.has("jail")};
  for (const std::string& tap : parsed.values("tap")) {
    request.taps.push_back(parse_tap(tap));
  }
  const RunPreparation run = prepare_run(store, id, request, effect);
  if (base::message_style().json) {
    base::write_line_out(run_record(id, run));
  } else {
    print_run_facts(run);
    if (request.in_jail) {
      print_files(run, store.guest_dir(id));
    }
  }
  return 0;
}

}  // namespace meta
