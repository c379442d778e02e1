// SPDX-License-Identifier: Apache-2.0
// Compares the records of served VMMs with the sessions of the running server.
#include "pager/ctl/hung_guests.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "pager/ctl/control_client.h"
#include "pager/ctl/reply_fields.h"
#include "pager/serve/vmm_records.h"
#include "store/run_dir.h"
#include "store/vmm_record.h"

namespace pager {
namespace {

namespace fs = std::filesystem;

// Pids of the server's PID namespace, with start times. The start time distinguishes processes that
// have the same pid in two namespaces. An older server does not report it; 0 then matches any.
using Served = std::set<std::pair<pid_t, uint64_t>>;

// Empty if no server listens.
Served ask_served_vmms(const std::string& control_path, std::chrono::milliseconds timeout) {
  Served served;
  if (std::optional<ControlClient> server = ControlClient::try_connect(control_path, timeout)) {
    const base::JsonObject reply = server->ask_json("GET", "/sessions");
    for (const base::JsonObject& session : objects_at(reply, "sessions")) {
      served.emplace(static_cast<pid_t>(number_at(session, "vmm_pid")),
                     number_at(session, "vmm_start_time"));
    }
  }
  return served;
}

// A server that is being killed accepts a connection and ends before it answers. The second attempt
// finds that no server listens.
Served served_vmms(const std::string& control_path, std::chrono::milliseconds timeout) {
  try {
    return ask_served_vmms(control_path, timeout);
  } catch (const base::Refused&) {
    return ask_served_vmms(control_path, timeout);
  }
}

struct Recorded {
  HungGuest guest;
  base::ProcessIdentity vmm;

  bool is_served(const Served& served) const {
    return served.contains({vmm.pid, vmm.start_time}) || served.contains({vmm.pid, 0});
  }
};

// Adds the living VMMs that the records in `dir` name.
void add_recorded(const fs::path& dir, std::vector<Recorded>& recorded) {
  std::error_code error;
  fs::directory_iterator entries(dir, error);
  if (error && error != std::errc::no_such_file_or_directory) {
    base::throw_error_number(error.value(), "cannot read " + base::quoted(dir.string()));
  }
  for (const fs::directory_entry& entry : entries) {
    if (entry.path().extension() != ".vmm") {
      continue;
    }
    const std::string path = entry.path().string();
    const std::optional<base::ProcessIdentity> vmm = store::read_vmm_record(path);
    const base::FoundProcess found = vmm ? store::find_recorded_vmm(*vmm) : base::FoundProcess{};
    if (found.alive) {
      recorded.push_back(
          {.guest = {.session_id = VmmRecords::session_of(entry.path().stem().string(), *vmm),
                     .vmm_pid = found.pid,
                     .vmm_start_time = vmm->start_time,
                     .record = path},
           .vmm = *vmm});
    }
  }
}

}  // namespace

std::vector<HungGuest> find_hung_guests(const std::string& control_path,
                                        std::chrono::milliseconds timeout) {
  // Reads the records before it asks the server. A VMM that connects later has no record here, and
  // a VMM that has a record is known to its server.
  const fs::path sessions = store::socket_dir_of(control_path);
  std::vector<Recorded> recorded;
  add_recorded(sessions, recorded);
  add_recorded(sessions.parent_path() / "sessions", recorded);  // the layout of hypeman's pager
  std::vector<HungGuest> guests;
  if (!recorded.empty()) {
    const Served served = served_vmms(control_path, timeout);
    for (const Recorded& record : recorded) {
      // A VMM that is not served may have ended since its record was read.
      if (!record.is_served(served) && store::find_recorded_vmm(record.vmm).alive) {
        guests.push_back(record.guest);
      }
    }
  }
  std::ranges::sort(guests, {}, &HungGuest::session_id);
  return guests;
}

}  // namespace pager
