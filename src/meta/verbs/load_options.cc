// SPDX-License-Identifier: Apache-2.0
// Adds and checks the options.
#include "meta/verbs/load_options.h"

#include "base/error.h"
#include "base/unix_socket.h"
#include "meta/verbs/command_line.h"
#include "meta/vmstate/formats.h"
#include "store/files.h"
#include "store/run_dir.h"
#include "store/session_name.h"

namespace meta {

void add_load_options(base::Options& options) {
  options.value("backend", "uffd|file", "memory from the page server, or from the memory file")
      .value("socket", "PATH", "socket of the page server (default: that of the guest's session)")
      .value("vmm-version", "V",
             "the Firecracker that loads it (default: the one that made the snapshot)")
      .value("clock", "auto|keep", "set the guest's clock forward, if possible (default: auto)")
      .value("tap", "IFACE=TAP", "use this tap for the interface; may be repeated")
      .flag("track-dirty-pages", "so that a Diff snapshot can be written")
      .flag("no-resume", "leave the guest paused");
}

LoadRequest parse_load_request(const base::ParsedOptions& parsed, const store::Store& store,
                               const std::string& id) {
  if (!parsed.has("backend")) {
    throw base::UsageError("--backend uffd|file is required");
  }
  LoadRequest request{.id = id,
                      .state_path = "",
                      .uses_uffd = parsed.choice("backend", {"uffd", "file"}) == "uffd",
                      .backend_path = "",
                      .vmm_version = parsed.value_or("vmm-version", ""),
                      .host_kernel = "",
                      .keeps_clock = parsed.choice("clock", {"auto", "keep"}) == "keep",
                      .tracks_dirty_pages = parsed.has("track-dirty-pages"),
                      .resumes = !parsed.has("no-resume")};
  if (parsed.has("vmm-version") && !vmstate::is_vmm_version(request.vmm_version)) {
    throw base::UsageError("bad value " + base::quoted(request.vmm_version) +
                           " for --vmm-version: a version such as 1.16.0 is required");
  }
  for (const std::string& tap : parsed.values("tap")) {
    request.taps.push_back(parse_tap(tap));
  }
  if (request.uses_uffd) {
    require_guest(store, id);
    request.backend_path = store::absolute_path(
        parsed.has("socket") ? *parsed.value("socket")
                             : store::default_socket_dir() + "/" +
                                   store::session_name(id, store.guest_dir(id)) + ".sock");
    base::check_socket_path(request.backend_path);
  } else if (parsed.has("socket")) {
    throw base::UsageError("--socket requires --backend uffd");
  }
  return request;
}

}  // namespace meta
