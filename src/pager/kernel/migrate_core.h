// SPDX-License-Identifier: Apache-2.0
// Moves a thread to another core.
#pragma once

namespace pager {

// Moves the calling thread at once to another core of its affinity mask. The mask is unchanged
// afterward. Returns false if the mask has only one core, or if the kernel refuses.
bool move_to_other_core();

}  // namespace pager
