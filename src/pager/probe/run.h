// SPDX-License-Identifier: Apache-2.0
// A run of uffd-probe.
#pragma once

#include "pager/probe/config.h"

namespace pager {

// Starts the VMMs, waits for them until the deadline, and prints the results. Returns 0, or 1 for a
// wrong or stale page, a hang, or an invalid handshake that the server did not refuse. If the VMMs
// found none of these, throws the first failure of a VMM. Also throws what reading the memory file
// and the trace throws, and base::Unsupported if there are not enough huge pages.
int run_probe(const ProbeConfig& config);

}  // namespace pager
