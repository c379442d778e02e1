// SPDX-License-Identifier: Apache-2.0
// VMMs that wait for a snapshot: their record, and their end.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/effect.h"

namespace fc {

// The record `vmm` of the Firecracker that listens at `socket`. Throws base::Refused if none
// listens there, if it has loaded or booted a guest, or if its process is not visible; and as
// check_taps does, for `taps` in its network namespace.
std::string describe_waiting_vmm(const std::string& socket, const std::vector<std::string>& taps,
                                 std::chrono::milliseconds timeout);

// Ends the VMM that was started in `directory`, with SIGTERM and after `grace` with SIGKILL, and
// removes the directory. Without such a directory does nothing. Throws base::Refused if it is not
// certain which process is the VMM.
void end_vmm_of(const std::string& directory, std::chrono::milliseconds grace, base::Effect effect);

}  // namespace fc
