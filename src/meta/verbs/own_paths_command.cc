// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta own-paths: makes a guest's state name its own files, and prints them.
#include "meta/flows/own_paths.h"

#include <optional>
#include <string>
#include <vector>

#include "base/effect.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "store/files.h"
#include "store/run_dir.h"

namespace meta {
namespace {

std::string record(const std::string& id, const OwnPaths& result) {
  std::vector<std::string> paths;
  for (const OwnPaths::Path& path : result.paths) {
    base::JsonLine line;
    paths.push_back(line.text("kind", vmstate::role_name(path.role)).text("path", path.path).str());
  }
  std::vector<std::string> changes;
  for (const vmstate::ChangedPath& change : result.changes) {
    base::JsonLine line;
    changes.push_back(line.text("kind", vmstate::role_name(change.role))
                          .text("from", change.from)
                          .text("to", change.to)
                          .str());
  }
  const auto list = [](const std::vector<std::string>& objects) {
    std::string text = "[";
    for (const std::string& object : objects) {
      text += (text.size() > 1 ? "," : "") + object;
    }
    return text + "]";
  };
  return base::JsonLine("own_paths")
      .text("id", id)
      .raw("paths", list(paths))
      .raw("changes", list(changes))
      .str();
}

}  // namespace

int own_paths_command(int argc, char** argv) {
  base::Options options("snapshot-meta own-paths", "[OPTION]... ID",
                        "Make the state of a guest name the guest's own files.");
  options.value("vsock-dir", "DIR",
                "directory for a vsock socket whose path would be too long (default: v/ in the run "
                "directory)");
  options.value("tap", "IFACE=TAP",
                "the tap of an interface, for Firecracker before 1.12; may be repeated");
  base::add_dry_run(options);
  options.footer(
      "Prints the kind and the path of each file and socket that loading the guest\n"
      "opens. Removes a vsock socket that no process listens on. Writes nothing if the\n"
      "state is right. Not for a template: each fork gets a state of its own.");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  const std::optional<std::string> vsock_dir = parsed.value("vsock-dir");
  std::vector<TapName> taps;
  for (const std::string& tap : parsed.values("tap")) {
    taps.push_back(parse_tap(tap));
  }
  const OwnPaths result =
      own_paths(store, id, vsock_dir ? store::absolute_path(*vsock_dir) : store::find_vsock_dir(),
                taps, effect);
  if (base::message_style().json) {
    base::write_line_out(record(id, result));
    return 0;
  }
  for (const OwnPaths::Path& path : result.paths) {
    base::write_line_out(std::string(vmstate::role_name(path.role)) + "\t" + plain_text(path.path));
  }
  return 0;
}

}  // namespace meta
