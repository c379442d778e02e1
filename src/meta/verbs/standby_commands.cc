// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta standby-begin, standby-publish and standby-end.
#include <optional>
#include <string>

#include "base/effect.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/flows/standby.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "meta/vmstate/formats.h"

namespace meta {

int standby_begin_command(int argc, char** argv) {
  base::Options options("snapshot-meta standby-begin", "[OPTION]... ID",
                        "Make the directory for a new snapshot of a guest that runs.");
  options.value("type", "full|diff", "the snapshot that the VMM will write (default: full)")
      .value("api-socket", "SOCK", "refuse unless the guest's VMM listens there");
  base::add_dry_run(options);
  options.footer(
      "Prints STATE<TAB>MEMORY, the paths that the VMM writes to. For a Diff, clone the\n"
      "guest's memory to MEMORY first: Firecracker writes the pages of a Diff over it.");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  const SnapshotType type =
      parsed.choice("type", {"full", "diff"}) == "full" ? SnapshotType::full : SnapshotType::diff;
  const StandbyFiles files = begin_standby(
      store, id, {.type = type, .api_socket = parsed.value_or("api-socket", "")}, effect);
  if (base::message_style().json) {
    base::write_line_out(base::JsonLine("standby")
                             .text("id", id)
                             .path("state_path", files.state_path)
                             .path("memory_path", files.memory_path)
                             .str());
  } else {
    base::write_line_out(files.state_path + "\t" + files.memory_path);
  }
  return 0;
}

int standby_publish_command(int argc, char** argv) {
  base::Options options("snapshot-meta standby-publish", "[OPTION]... ID",
                        "Make the new snapshot that of the guest, whose VMM is paused.");
  options.value("vmm-version", "V", "record V as the Firecracker that wrote it");
  options.flag("no-flush", "do not flush the files: a power cut may damage the snapshot");
  base::add_dry_run(options);
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  const std::string version = parsed.value_or("vmm-version", "");
  if (parsed.has("vmm-version") && !vmstate::is_vmm_version(version)) {
    throw base::UsageError("bad value " + base::quoted(version) +
                           " for --vmm-version: a version such as 1.16.0 is required");
  }
  publish_standby(store, id, {.vmm_version = version, .flushes = !parsed.has("no-flush")}, effect);
  announce(effect, "publish the new snapshot of '" + id + "'");
  return 0;
}

int standby_end_command(int argc, char** argv) {
  base::Options options("snapshot-meta standby-end", "[OPTION]... ID",
                        "Remove what an interrupted standby of a guest left.");
  base::add_dry_run(options);
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  if (end_standby(store, id, effect)) {
    announce(effect, "remove what an interrupted standby of '" + id + "' left");
  }
  return 0;
}

}  // namespace meta
