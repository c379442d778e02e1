// SPDX-License-Identifier: Apache-2.0
// Reads the options, and runs the guest unless its caller must do something first.
#include "launch/guest_verb.h"

#include <fcntl.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/options.h"
#include "launch/guest_run.h"
#include "launch/start.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/taps.h"
#include "meta/verbs/run_facts.h"
#include "store/run_dir.h"
#include "store/store.h"

namespace launch {
namespace {

constexpr int64_t kLoadTimeoutMs = 30'000;

int read_lock_fd(const base::ParsedOptions& parsed) {
  constexpr int64_t kMostFd = 1 << 20;
  const auto fd = static_cast<int>(parsed.number("lock-fd", 0, kMostFd, -1));
  if (fd < 0 || ::fcntl(fd, F_GETFD) == -1) {
    throw base::UsageError("--lock-fd N is needed: an open descriptor");
  }
  return fd;
}

GuestRunRequest read_guest(const base::ParsedOptions& parsed) {
  GuestRunRequest request{.id = parsed.operands()[0],
                          .lock_fd = read_lock_fd(parsed),
                          .is_file = parsed.choice("backend", {"auto", "file"}) == "file",
                          .keeps_clock = parsed.choice("clock", {"auto", "keep"}) == "keep",
                          .tracks_dirty_pages = parsed.has("track-dirty-pages"),
                          .resumes = !parsed.has("no-resume"),
                          .force = parsed.has("force") ? meta::Force::yes : meta::Force::no,
                          .taps = {},
                          .load_timeout = std::chrono::milliseconds(
                              parsed.seconds_as_ms("load-timeout", kLoadTimeoutMs))};
  for (const std::string& tap : parsed.values("tap")) {
    request.taps.push_back(meta::parse_tap(tap));
  }
  store::check_id(request.id);
  if (store::find_vmm_dir().empty()) {
    throw base::UsageError("no run directory: set XDG_RUNTIME_DIR or SNAPFORK_PAGER");
  }
  return request;
}

}  // namespace

int run_guest_verb(int argc, char** argv) {
  base::Options options("fc-run guest", "[OPTION]... --lock-fd N ID",
                        "Run a guest of the store: lock, check, start a VMM, load.");
  add_start_options(options);
  options.value("lock-fd", "N", "lock the caller's descriptor N of the lock file of ID")
      .value("backend", "auto|file", "auto: start nothing if it needs the page server")
      .value("clock", "auto|keep", "set the guest's clock forward, if possible")
      .value("tap", "IFACE=TAP", "use this tap for the interface; may be repeated")
      .value("load-timeout", "SECONDS", "limit for the load (default 30; 0: none)")
      .flag("track-dirty-pages", "so that a Diff snapshot can be written")
      .flag("no-resume", "leave the guest paused")
      .flag("force", "also a guest in state Stale");
  options.footer(
      "Prints the lines of snapshot-meta run-prepare, then the record of fc-run. Without\n"
      "the record nothing was started: the guest needs a session at the page server.\n"
      "Exit: as fc-run and snapshot-meta run-prepare; 75 open N again.");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(1, 1, "an ID is");
  const GuestRunRequest guest = read_guest(*parsed);
  close_inherited_descriptors(guest.lock_fd);
  GuestRun run(guest);
  meta::print_run_facts(run.facts());
  if (run.needs_caller()) {
    return 0;
  }
  const fc::SnapshotLoad load = run.load();
  return start(*parsed, run.complete(read_start_options(*parsed)), &load);
}

}  // namespace launch
