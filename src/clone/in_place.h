// SPDX-License-Identifier: Apache-2.0
// Changes the layout of a file on the disk, not its contents: its own inode, holes for zeros.
#pragma once

#include <string>

#include "clone/progress.h"
#include "clone/report.h"
#include "clone/request.h"

namespace cloning {

// With `unshare`, gives the name `path` its own inode if the present one has other links: a clone
// with the same owner, times and attributes, but writable by the owner, replaces it in one step.
// With request.dig, zeros become holes (zero_runs.h); modification times stay. If other processes
// have the file open for reading, or no lease is available, the holes are made in a clone, which
// takes the name. With request.defrag, a file with too many extents is rewritten (defrag.h).
//
// Throws Refused if holes are requested in an inode with several links, into which nothing may
// write, and `unshare` is not set; if a process has the file open for writing or opens it; or if
// `path` is replaced before the end. Throws BadData if `path` is not a regular file (a symlink is
// not), and whatever a clone throws. `path` is then unchanged.
InPlaceReport change_in_place(const std::string& path, bool unshare, const Request& request,
                              Progress& progress);

}  // namespace cloning
