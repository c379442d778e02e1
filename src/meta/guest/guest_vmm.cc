// SPDX-License-Identifier: Apache-2.0
// Asks the page servers' records, the sockets, the recorded process and the open files in turn.
#include "meta/guest/guest_vmm.h"

#include <system_error>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/json_object.h"
#include "base/process.h"
#include "base/socket_probe.h"
#include "meta/guest/guest_paths.h"
#include "store/run_dir.h"
#include "store/session_name.h"

namespace meta {
namespace {

std::optional<LiveVmm> served_vmm(const ServedVmms& served, const std::string& id) {
  const std::vector<ServedVmm> found = served.of(id);
  if (found.empty()) {
    return std::nullopt;
  }
  const ServedVmm& vmm = found.front();
  const pid_t pid = vmm.process.pid;
  return LiveVmm{.pid = pid,
                 .reason = pid != 0 ? process_text(pid) + " is connected to the page server"
                                    : "cannot determine the process that " +
                                          base::quoted(vmm.path) + " records"};
}

// A relative path is relative to the guest's directory.
std::optional<LiveVmm> api_listener(const std::string& dir, const std::string& socket) {
  if (socket.empty()) {
    return std::nullopt;
  }
  const base::SocketProbe probe =
      base::probe_socket(socket.starts_with('/') ? socket : dir + "/" + socket);
  if (!probe.in_use) {
    return std::nullopt;
  }
  return LiveVmm{
      .pid = probe.pid,
      .reason = process_text(probe.pid) + " listens on its API socket " + base::quoted(socket)};
}

std::optional<LiveVmm> recorded_process(const base::ProcessIdentity& recorded) {
  const base::FoundProcess found = base::find_process(recorded);
  if (!found.alive) {
    return std::nullopt;
  }
  if (found.pid == 0) {
    return LiveVmm{.reason = "its VMM is recorded as process " + std::to_string(recorded.pid) +
                             " in another PID namespace"};
  }
  return LiveVmm{.pid = found.pid,
                 .reason = process_text(found.pid) +
                           (found.is_certain ? " is its recorded VMM"
                                             : " has the pid of its recorded VMM, whose start time "
                                               "is not known")};
}

// own_paths makes each guest have one of these sockets.
std::optional<LiveVmm> vsock_listener(const store::Store& store, const std::string& id) {
  const std::string dir = store.guest_dir(id);
  const std::string far_dir = store::find_vsock_dir();
  std::vector<std::string> sockets{dir + "/" + kVsockName};
  if (const auto st = base::try_lstat_path(dir); st && !far_dir.empty()) {
    sockets.push_back(far_dir + "/" + store::session_name(id, *st) + ".sock");
  }
  for (const std::string& socket : sockets) {
    if (const base::SocketProbe probe = base::probe_socket(socket); probe.in_use) {
      return LiveVmm{.pid = probe.pid,
                     .reason = process_text(probe.pid) + " listens on its vsock socket " +
                               base::quoted(socket)};
    }
  }
  return std::nullopt;
}

LiveVmm user_text(const FileUser& user, const char* how) {
  return {.pid = user.pid,
          .reason = process_text(user.pid) + " has " + base::quoted(user.path) + " open" + how};
}

std::string damaged_text(const std::string& path) {
  try {
    return base::read_file(path, base::kMaxJsonBytes);
  } catch (const base::BadData&) {
    return "";  // too long to be metadata
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::no_such_file_or_directory) {
      return "";
    }
    throw;
  }
}

}  // namespace

const ServedVmms& VmmFinder::served() {
  if (!served_) {
    served_.emplace(store_);
  }
  return *served_;
}

std::optional<LiveVmm> VmmFinder::find_recorded(const std::string& id,
                                                const RecordedVmm& recorded) {
  if (std::optional<LiveVmm> vmm = served_vmm(served(), id)) {
    return vmm;
  }
  if (std::optional<LiveVmm> vmm = api_listener(store_.guest_dir(id), recorded.api_socket)) {
    return vmm;
  }
  return recorded_process(recorded.process);
}

std::optional<LiveVmm> VmmFinder::find(const std::string& id, const Metadata& metadata) {
  if (std::optional<LiveVmm> vmm = find_recorded(id, recorded_vmm(metadata))) {
    return vmm;
  }
  const std::vector<std::string> disks = writable_disks(store_, id, metadata);
  if (const std::optional<FileUser> writer = find_writer(disks)) {
    return user_text(*writer, " for writing");
  }
  if (metadata.is_template()) {  // it never runs, and its forks share its memory file
    return std::nullopt;
  }
  // Not earlier: Firecracker accepts the connection of the probe.
  if (std::optional<LiveVmm> vmm = vsock_listener(store_, id)) {
    return vmm;
  }
  if (!disks.empty() || search_ == SearchProc::no) {
    return std::nullopt;
  }
  if (!memory_users_) {
    memory_users_.emplace();
  }
  const std::optional<FileUser> user = memory_users_->of(store_, id);
  return user ? std::optional(user_text(*user, "")) : std::nullopt;
}

std::optional<LiveVmm> VmmFinder::find_without_metadata(const std::string& id) {
  RecordedVmm recorded;
  try {
    recorded = recorded_vmm_in_text(damaged_text(store_.metadata_path(id)));
  } catch (const std::system_error& error) {
    return LiveVmm{.reason = error.what()};
  }
  if (std::optional<LiveVmm> vmm = find_recorded(id, recorded)) {
    return vmm;
  }
  std::optional<FileUser> user;
  try {
    user = find_user(store_.guest_dir(id));
  } catch (const std::system_error& error) {
    return LiveVmm{.reason = error.what()};
  }
  if (!user) {
    memory_users_.emplace();
    user = memory_users_->of(store_, id);
  }
  return user ? std::optional(user_text(*user, "")) : std::nullopt;
}

std::vector<base::ProcessIdentity> VmmFinder::certain_processes(const std::string& id,
                                                                const RecordedVmm& recorded) {
  std::vector<base::ProcessIdentity> processes;
  for (const ServedVmm& vmm : served().of(id)) {
    if (vmm.process.is_certain) {
      processes.push_back({.pid = vmm.process.pid, .start_time = vmm.start_time});
    }
  }
  const base::FoundProcess found = base::find_process(recorded.process);
  if (found.is_certain) {
    processes.push_back({.pid = found.pid, .start_time = recorded.process.start_time});
  }
  return processes;
}

RecordedVmm recorded_vmm_of_guest(const store::Store& store, const std::string& id) {
  const std::string text = damaged_text(store.metadata_path(id));
  try {
    return recorded_vmm(Metadata::parse(text, store.metadata_path(id)));
  } catch (const base::BadData&) {
    return recorded_vmm_in_text(text);
  }
}

}  // namespace meta
