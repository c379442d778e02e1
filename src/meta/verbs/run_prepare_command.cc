// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta run-prepare: checks that a guest can run, and prints what a run needs.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/effect.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/flows/run_prepare.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "store/files.h"
#include "store/run_dir.h"

namespace meta {
namespace {

constexpr const char* kUnsure = "unsure";

std::string vsock_of(const RunPreparation& run) {
  for (const OwnPaths::Path& path : run.paths.paths) {
    if (path.role == vmstate::Role::vsock) {
      return path.path;
    }
  }
  return "";
}

std::string record(const std::string& id, const RunPreparation& run) {
  std::string taps = "[";
  for (const TapName& tap : run.taps) {
    base::JsonLine line;
    taps += taps.size() > 1 ? "," : "";
    taps += line.text("iface_id", tap.iface_id).text("tap", tap.tap).str();
  }
  base::JsonLine line("run_prepare");
  line.text("id", id).text("session", run.session);
  const std::string vsock = vsock_of(run);
  vsock.empty() ? line.null("vsock_path") : line.path("vsock_path", vsock);
  line.raw("taps", taps + "]")
      .text("backend", run.first_load_is_unsure ? kUnsure : backend_name(run.backend.backend))
      .text("backend_reason", run.backend.reason);
  run.hot_list ? line.path("hot_list", *run.hot_list) : line.null("hot_list");
  return line.str();
}

void print(std::string_view kind, const std::string& value) {
  base::write_line_out(std::string(kind) + "\t" + value);
}

// A file of the guest, or one that all forks use.
void print_files(const RunPreparation& run, const std::string& guest_dir) {
  for (const OwnPaths::Path& path : run.paths.paths) {
    if (path.role != vmstate::Role::vsock) {
      print(path.path.starts_with(guest_dir + "/") ? "file" : "shared", plain_text(path.path));
    }
  }
}

void print(const RunPreparation& run) {
  print("session", run.session);
  if (const std::string vsock = vsock_of(run); !vsock.empty()) {
    print("vsock", plain_text(vsock));
  }
  for (const TapName& tap : run.taps) {
    print("tap", plain_text(tap.tap) + "\t" + plain_text(tap.iface_id));
  }
  print("backend", (run.first_load_is_unsure ? kUnsure : backend_name(run.backend.backend)) +
                       ("\t" + run.backend.reason));
  if (run.hot_list) {
    print("hot-list", plain_text(*run.hot_list));
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
    base::write_line_out(record(id, run));
  } else {
    print(run);
    if (request.in_jail) {
      print_files(run, store.guest_dir(id));
    }
  }
  return 0;
}

}  // namespace meta
