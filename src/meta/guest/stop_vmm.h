// SPDX-License-Identifier: Apache-2.0
// Ending the VMM of a guest.
#pragma once

#include <chrono>
#include <string>

#include "store/files.h"
#include "store/store.h"

namespace meta {

// Sends SIGTERM, after `patience` SIGKILL, to the processes of VmmFinder::certain_processes, each
// through a pidfd whose start time was compared. Returns when the guest does not run. No other
// process gets a signal: throws base::Refused, naming it, when one seems to be the guest's VMM and
// that is not certain. Throws std::system_error (ETIMEDOUT) for a process that SIGKILL does not end
// within `patience`. With Effect::dry_run nothing is signalled.
void stop_vmm(const store::Store& store, const std::string& id, std::chrono::seconds patience,
              store::Effect effect);

}  // namespace meta
