// SPDX-License-Identifier: Apache-2.0
// Takes the userfaultfd out of a VMM whose page server and keeper were killed together.
#pragma once

#include <span>

#include "base/fd.h"
#include "hot/region.h"
#include "pager/faults/vmm.h"

namespace pager {

// Returns a copy of the userfaultfd that the VMM holds of these regions. Firecracker holds it as
// long as it runs, so the kernel still queues the faults and removals. `vmm` has a pidfd. Throws
// base::Refused that names the reason: the VMM holds none, so its missing pages read as zeros now;
// or this process has no ptrace(2) access to the VMM (another user, Yama, a user namespace).
base::Fd take_userfaultfd(const Vmm& vmm, std::span<const hot::Region> regions);

}  // namespace pager
