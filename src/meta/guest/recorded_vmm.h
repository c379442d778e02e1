// SPDX-License-Identifier: Apache-2.0
// What a guest's metadata says about its last VMM.
#pragma once

#include <string>
#include <string_view>

#include "base/process_identity.h"
#include "meta/guest/metadata.h"

namespace meta {

struct RecordedVmm {
  base::ProcessIdentity process;  // a pid of 0: none is recorded
  std::string api_socket;         // SocketPath; empty when none is recorded
};

// HypervisorPID, HypervisorStartTime, HypervisorBootID, snapfork.pid_namespace and SocketPath.
// Throws base::BadData when a pid or a start time is not a whole number.
RecordedVmm recorded_vmm(const Metadata& metadata);
// The same from text that is not JSON, as far as its keys can be found.
RecordedVmm recorded_vmm_in_text(std::string_view damaged);

// Records `process` as the guest's VMM.
void record_vmm(Metadata& metadata, const base::ProcessIdentity& process);

// The key of ours that is not hypeman's: the PID namespace that HypervisorPID is a number of.
inline constexpr std::string_view kPidNamespaceKey = "snapfork.pid_namespace";

}  // namespace meta
