// SPDX-License-Identifier: Apache-2.0
// Starts a Firecracker and stays with it, or leaves that to a child.
#pragma once

#include <cstdint>
#include <optional>

#include "base/options.h"
#include "fc/supervise.h"
#include "fc/vmm_request.h"

namespace launch {

inline constexpr int64_t kStartTimeoutMs = 10'000;

// The options of every start.
void add_start_options(base::Options& options);
fc::VmmRequest read_start_options(const base::ParsedOptions& parsed);

// The VMM lives longer than a command, so no lock and no pipe of the caller may stay open in this
// process. Keeps the descriptor that failures are reported to, and until the guest is loaded the
// one of its lock.
void close_inherited_descriptors(std::optional<int> lock_fd);

// Returns the exit status of the VMM; with --detach, 0 once it runs. Throws as fc::supervise does.
int start(const base::ParsedOptions& parsed, const fc::VmmRequest& request,
          const fc::SnapshotLoad* load);

}  // namespace launch
