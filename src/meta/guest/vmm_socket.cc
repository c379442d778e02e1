// SPDX-License-Identifier: Apache-2.0
// Compares the process behind a socket with the processes that use the guest.
#include "meta/guest/vmm_socket.h"

#include <sys/types.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/file_status.h"
#include "base/open_files.h"
#include "base/process_identity.h"
#include "base/socket_probe.h"
#include "meta/guest/guest_files.h"
#include "meta/guest/guest_vmm.h"
#include "meta/guest/recorded_vmm.h"

namespace meta {
namespace {

bool writes_to(pid_t pid, const std::string& path) {
  const std::optional<struct stat> st = base::try_stat_path(path);
  return st && std::ranges::any_of(base::find_open_files(*st), [&](const base::OpenFile& open) {
           return open.pid == pid && base::is_writable(open);
         });
}

bool is_vmm(const store::Store& store, const std::string& id, const Metadata& metadata, pid_t pid) {
  VmmFinder finder(store);
  const auto certain = finder.certain_processes(id, recorded_vmm(metadata));
  if (std::ranges::find(certain, pid, &base::ProcessIdentity::pid) != certain.end()) {
    return true;
  }
  const std::vector<std::string> disks = writable_disks(store, id, metadata);
  if (std::ranges::any_of(disks, [&](const std::string& disk) { return writes_to(pid, disk); })) {
    return true;
  }
  const std::optional<FileUser> user = MemoryUsers().of(store, id);
  return user && user->pid == pid;
}

}  // namespace

pid_t require_own_vmm(const store::Store& store, const std::string& id, const Metadata& metadata,
                      const std::string& socket) {
  const base::SocketProbe probe = base::probe_socket(socket);
  if (!probe.in_use || probe.pid == 0 || !is_vmm(store, id, metadata, probe.pid)) {
    throw base::Refused(
        "cannot use the API socket " + base::quoted(socket) + " for " + base::quoted(id) + ": " +
        (probe.in_use
             ? process_text(probe.pid) + " listens there, and it is not known to be its VMM"
             : "no process listens there"));
  }
  return probe.pid;
}

}  // namespace meta
