// SPDX-License-Identifier: Apache-2.0
// Rewrites a file that has too many extents, so that its clones are fast again.
#pragma once

#include "clone/destination.h"
#include "clone/progress.h"
#include "clone/request.h"
#include "clone/source_file.h"

namespace cloning {

// If `src` has more extents than the request allows (kManyExtents by default), replaces it by a
// dense copy under the name `destination`, opens that copy, and records the old number of extents
// in `src.defragged`.
//
// The copy keeps owner, mode, times and attributes. It is flushed to the disk before it gets the
// name. It keeps the kManyExtents - 1 largest holes; the smaller ones are the cause of the many
// extents.
//
// Throws Refused if a process has the file open for writing, opens it during the rewrite, or
// changes it; if the file has other links, which would keep the old contents; or if no lease is
// available to detect this. The file is then unchanged.
void defragment(const Destination& destination, SourceFile& src, const Request& request,
                Progress& progress);

// The same for a source that was opened by its path. Directories are ignored.
void defragment_operand(SourceFile& src, const Request& request, Progress& progress);

}  // namespace cloning
