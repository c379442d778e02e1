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

// The life of one VMM, in a process of its own: memory, userfaultfd, handshake, then all touches
// and verifications (pager/probe/sweep.h), or, for a configuration that misbehaves, a spoilt
// handshake and the wait for the server to refuse it. The outcome is in `record`; failures are in
// record.failure. Calls `say_done` and then, with config.hold, stays until it is killed.
//
// Does not return, but ends the process, when the server has closed the connection and a second
// passes without any progress: nothing more will come. `deadline` bounds what happens before the
// first touch.
void run_vmm(const ProbeConfig& config, const MemoryFile& file, size_t index,
             const base::Deadline& deadline, VmmRecord& record,
             const std::function<void()>& say_done);

}  // namespace pager
