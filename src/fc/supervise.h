// SPDX-License-Identifier: Apache-2.0
// Starts a VMM, waits until its API answers, and stays with it until it ends.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "base/deadline.h"
#include "fc/vmm_request.h"

namespace fc {

// What a VMM loads before its record is printed.
struct SnapshotLoad {
  std::string id;  // of the guest, for messages
  // Records the VMM, and returns the body of PUT /snapshot/load. `sets_clock`: with clock_realtime,
  // if the VMM knows it. Throws if the guest cannot run.
  std::function<std::string(pid_t pid, const std::string& version, bool sets_clock)> begin;
  std::function<base::Deadline()> deadline;  // of a load that starts now
  std::function<void()> end;                 // is called once the guest is loaded
};

struct Supervision {
  pid_t caller = 0;                    // the parent of this process
  int ready_fd = -1;                   // gets a byte after the record; -1: none
  const SnapshotLoad* load = nullptr;  // null: the VMM waits for a snapshot
};

// Prints the record `vmm` once the API answers, and the guest is loaded if there is one. Then waits
// for the end of the VMM, removes its socket and pid, and returns its exit status, or 128 and the
// number of the signal that ended it.
//
// If Firecracker refuses clock_realtime when it loads, that VMM is dead; then a second one loads
// without it, with a warning.
//
// HUP, INT and TERM are passed on to the VMM. If the caller ends, so does the VMM, unless kDetach
// was received before; if this process ends, so does the VMM. If the VMM does not start or load,
// throws base::Error with the status wrapper, not_found or not_executable, or what `begin` throws,
// and leaves nothing in the directory of the request. The process must have one thread.
int supervise(const VmmRequest& request, const Supervision& supervision);

}  // namespace fc
