#include "pager/hung_guests.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/process.h"
#include "pager/control_client.h"
#include "pager/vmm_records.h"

namespace pager {
namespace {

namespace fs = std::filesystem;

bool is_alive(pid_t pid, uint64_t start_time) {
  return base::process_start_time(pid) == start_time;
}

// The pids that the server at `control_path` serves.
std::set<pid_t> served_pids(const std::string& control_path, std::chrono::milliseconds patience) {
  std::set<pid_t> pids;
  if (std::optional<ControlClient> server = ControlClient::try_connect(control_path, patience)) {
    const nlohmann::json reply = server->ask_json("GET", "/sessions");
    for (const nlohmann::json& session : reply.value("sessions", nlohmann::json::array())) {
      pids.insert(session.value("vmm_pid", 0));
    }
  }
  return pids;
}

// The VMMs that the records in `dir` name, and that live.
void add_recorded(const fs::path& dir, std::vector<HungGuest>& guests) {
  std::error_code error;
  fs::directory_iterator entries(dir, error);
  if (error && error != std::errc::no_such_file_or_directory) {
    base::throw_error_number(error.value(), "cannot read " + base::quoted(dir.string()));
  }
  for (const fs::directory_entry& entry : entries) {
    if (entry.path().extension() != ".vmm") {
      continue;
    }
    const std::optional<VmmRecords::Record> record = VmmRecords::read(entry.path().string());
    if (!record || !is_alive(record->pid, record->start_time)) {
      continue;
    }
    guests.push_back({.session_id = VmmRecords::session_of(entry.path().stem().string(), *record),
                      .vmm_pid = record->pid,
                      .vmm_start_time = record->start_time,
                      .record = entry.path().string()});
  }
}

}  // namespace

std::vector<HungGuest> find_hung_guests(const std::string& control_path,
                                        std::chrono::milliseconds patience) {
  // The records first: a VMM that connects after that is not among them, and one that they name
  // is known to its server.
  const fs::path beside = fs::absolute(control_path).parent_path();
  std::vector<HungGuest> guests;
  for (const char* layout : {"s", "sessions"}) {
    add_recorded(beside / layout, guests);
  }
  if (!guests.empty()) {
    const std::set<pid_t> served = served_pids(control_path, patience);
    // Of those that are not served some may have ended since.
    std::erase_if(guests, [&](const HungGuest& guest) {
      return served.contains(guest.vmm_pid) || !is_alive(guest.vmm_pid, guest.vmm_start_time);
    });
  }
  std::ranges::sort(guests, {}, &HungGuest::session_id);
  return guests;
}

}  // namespace pager
