// SPDX-License-Identifier: Apache-2.0
// Firecracker's side of the page server protocol.
#pragma once

#include <cstddef>
#include <functional>

#include "base/deadline.h"
#include "pager/probe/config.h"
#include "pager/probe/memory.h"
#include "pager/probe/record.h"

namespace pager {

// Runs one VMM in its own process: memory, userfaultfd, handshake, then the touches and
// verifications (Sweep). With config.misbehavior it sends an invalid handshake and waits for the
// refusal. The outcome is in `record`, a failure in record.failure. Calls `say_done`; with
// config.hold it then stays until it is killed.
//
// Ends the process if the server has closed the connection and then one second passes without
// progress. `deadline` limits the time before the first touch.
void run_vmm(const ProbeConfig& config, const MemoryFile& file, size_t index,
             const base::Deadline& deadline, VmmRecord& record,
             const std::function<void()>& say_done);

}  // namespace pager
