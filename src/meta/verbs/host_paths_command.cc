// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta host-paths: prints host paths in a state and the guest's own files.
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/guest/disks.h"
#include "meta/guest/metadata.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "meta/vmstate/vmstate.h"
#include "store/files.h"

namespace meta {
namespace {

// FILE in ".../guests/ID/FILE", the layout of a guest's directory in any store. "" for other paths.
std::string_view name_in_guest_dir(std::string_view path) {
  constexpr std::string_view kGuests = "/guests/";
  const size_t guests = path.rfind(kGuests);
  if (guests == std::string_view::npos) {
    return "";
  }
  const size_t slash = path.find('/', guests + kGuests.size());
  return slash == std::string_view::npos ? "" : path.substr(slash + 1);
}

// The guest's own file for `path`, relative to its directory: the one in snapfork.disks, or the
// file with the same name. "" if it has none.
std::string file_for(const std::string& path, const std::vector<Disk>& disks,
                     const std::string& own_dir) {
  const auto disk = std::ranges::find(disks, path, &Disk::embedded_path);
  if (disk != disks.end()) {
    return disk->file;
  }
  const std::string name(name_in_guest_dir(path));
  return !name.empty() && store::path_exists(own_dir + "/" + name) ? name : "";
}

}  // namespace

int host_paths_command(int argc, char** argv) {
  base::Options options("snapshot-meta host-paths", "[OPTION]... ID",
                        "Print the paths outside of its directory that loading a guest opens.");
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  const std::vector<Disk> disks = disks_of(Metadata::of_guest(store, id));
  const std::string own_dir = store.guest_dir(id);
  const std::string bytes = vmstate::read_vmstate_file(store.state_path(id));
  vmstate::VmState state = vmstate::parse_vmstate(bytes, store.state_path(id));
  vmstate::read_devices(bytes, state);
  if (!state.paths_problem.empty()) {
    // With an incomplete answer, a fork would write to the disks that are missing from it.
    throw base::Unsupported("cannot find the paths that loading " + base::quoted(id) +
                            " opens: " + state.paths_problem);
  }
  for (const vmstate::EmbeddedText& path : state.paths) {
    if (!vmstate::is_foreign_path(path.text, own_dir)) {
      continue;
    }
    if (path.text.find_first_of("\t\n") != std::string::npos) {
      throw base::BadData("cannot print the path " + base::quoted(path.text) + " of guest " +
                          base::quoted(id) + ": it contains a tab or a newline");
    }
    const std::string file = file_for(path.text, disks, own_dir);
    if (base::message_style().json) {
      base::JsonLine line("host-path");
      line.text("kind", vmstate::role_name(path.role)).text("path", path.text);
      file.empty() ? line.null("file") : line.text("file", file);
      base::write_line_out(line.str());
    } else {
      base::write_line_out(std::string(vmstate::role_name(path.role)) + "\t" + path.text + "\t" +
                           file);
    }
  }
  return 0;
}

}  // namespace meta
