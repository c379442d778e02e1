// SPDX-License-Identifier: Apache-2.0
// Leaves a core to somebody else.
#pragma once

namespace pager {

// Moves the calling thread to another of the cores that it may use, at once; it may use the same
// ones as before afterwards. False when it has only this one, or the kernel refuses.
bool move_to_other_core();

}  // namespace pager
