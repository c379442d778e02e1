// SPDX-License-Identifier: Apache-2.0
// Leaves the large holes of an image to the kernel.
#pragma once

#include "pager/faults/counters.h"
#include "pager/faults/session_state.h"
#include "pager/image/image.h"

namespace pager {

// Unregisters the holes of 2 MiB and more: the kernel itself fills them with zeros, before and
// after a removal. `table` then has them as removed. Faults in these holes are no longer seen, so
// do not call it for a traced session. Call it before the first fault is answered.
void release_holes(int uffd, PageTable& table, const Image& image, Counters& counters);

}  // namespace pager
