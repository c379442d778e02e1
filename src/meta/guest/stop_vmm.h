// SPDX-License-Identifier: Apache-2.0
// Ends the VMM of a guest.
#pragma once

#include <chrono>
#include <string>

#include "base/effect.h"
#include "store/store.h"

namespace meta {

struct StopLimits {
  std::chrono::milliseconds alone{0};   // time to end without a signal
  std::chrono::milliseconds signal{0};  // time to end after SIGTERM
};

// Waits `limits.alone`, sends SIGTERM, and after `limits.signal` SIGKILL, to the processes of
// VmmFinder::certain_processes, each through a pidfd whose start time matches. Returns when the
// guest does not run. No other process gets a signal: if another process may be the guest's VMM,
// throws base::Refused that names it. Throws std::system_error (ETIMEDOUT) if a process does not
// end within 5 s after SIGKILL. With Effect::dry_run, sends no signal.
void stop_vmm(const store::Store& store, const std::string& id, const StopLimits& limits,
              base::Effect effect);

}  // namespace meta
