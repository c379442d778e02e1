// SPDX-License-Identifier: Apache-2.0
// A whole run of uffd-probe.
#pragma once

#include "pager/probe/config.h"

namespace pager {

// Starts the VMMs, waits for them, never longer than the deadline, and prints the results. Returns
// the exit status: 0, or 1 for a wrong or stale page, a hang, a server that did not refuse what it
// must. Throws the first failure of a VMM when nothing worse was found; what reading the memory
// file and the trace throws; base::Unsupported when there are not enough huge pages.
int run_probe(const ProbeConfig& config);

}  // namespace pager
