// SPDX-License-Identifier: Apache-2.0
// Ends the VMM of a guest.
#pragma once

#include <chrono>
#include <string>

#include "base/effect.h"
#include "store/store.h"

namespace meta {

// Sends SIGTERM, and after `timeout` SIGKILL, to the processes of VmmFinder::certain_processes,
// each through a pidfd whose start time matches. Returns when the guest does not run. No other
// process gets a signal: if another process may be the guest's VMM, throws base::Refused that names
// it. Throws std::system_error (ETIMEDOUT) if a process does not end within `timeout` after
// SIGKILL. With Effect::dry_run, sends no signal.
void stop_vmm(const store::Store& store, const std::string& id, std::chrono::seconds timeout,
              base::Effect effect);

}  // namespace meta
