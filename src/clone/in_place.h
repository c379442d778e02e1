// SPDX-License-Identifier: Apache-2.0
// Changing how a file lies on the disk and not what it says: an inode of its own, holes for zeros.
#pragma once

#include <string>

#include "clone/progress.h"
#include "clone/report.h"
#include "clone/request.h"

namespace cloning {

// With `unshare`, gives the name `path` an inode of its own when its present one has other names
// too: a clone with the same owner, times and attributes, but writable by the owner, put in its
// place in one step. With request.dig, zeros become holes (zero_runs.h); modification times stay.
// If others have the file open for reading, or no lease is available, that is done in a clone,
// which takes the name. With request.defrag, a file of too many extents is rewritten (defrag.h).
//
// Throws Refused when holes are to be dug into an inode with several links (nothing writes into
// such a one) and `unshare` was not asked for, when a process has the file open for writing or
// opens it, or when `path` is replaced before the end; BadData for anything but a regular file,
// also for a symlink; and what a clone throws. `path` is then as before.
InPlaceReport change_in_place(const std::string& path, bool unshare, const Request& request,
                              Progress& progress);

}  // namespace cloning
