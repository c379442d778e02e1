// SPDX-License-Identifier: Apache-2.0
// Reads and writes the record of a guest's last VMM in its metadata.
#pragma once

#include <string>
#include <string_view>

#include "base/process_identity.h"
#include "meta/guest/metadata.h"

namespace meta {

struct RecordedVmm {
  base::ProcessIdentity process;  // the pid is 0 if none is recorded
  std::string api_socket;         // SocketPath; empty if none is recorded
};

// HypervisorPID, HypervisorStartTime, HypervisorBootID, snapfork.pid_namespace and SocketPath.
// Throws base::BadData if the pid or the start time is not a whole number.
RecordedVmm recorded_vmm(const Metadata& metadata);
// The same keys, searched in text that is not valid JSON.
RecordedVmm recorded_vmm_in_text(std::string_view damaged);

// Records `process` as the guest's VMM, and its API socket (empty if it is not known).
void record_vmm(Metadata& metadata, const base::ProcessIdentity& process,
                const std::string& api_socket);

// snapfork's own key: the PID namespace that HypervisorPID belongs to.
inline constexpr std::string_view kPidNamespaceKey = "snapfork.pid_namespace";
// The API socket of that process, for calls to it. Unlike SocketPath, it does not decide whether
// the guest runs: another VMM may listen there that waits for a snapshot.
inline constexpr std::string_view kApiSocketKey = "snapfork.api_socket";

}  // namespace meta
