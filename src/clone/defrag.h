// SPDX-License-Identifier: Apache-2.0
// Rewriting a file that has too many extents, so that its clones are fast again.
#pragma once

#include "clone/place.h"
#include "clone/progress.h"
#include "clone/request.h"
#include "clone/source_file.h"

namespace cloning {

// Puts a dense copy of `src`, which has the name `place`, in its place when it has more extents
// than the request allows (kManyExtents when it does not say), opens that, and notes in
// `src.defragged` how many there were.
//
// The copy keeps owner, mode, times and attributes, is on the disk before it gets the name, and
// keeps the kManyExtents - 1 largest holes: smaller ones are what makes many extents of it.
//
// Throws Refused when somebody has the file open for writing, opens it meanwhile, or changes it;
// when it has other names, which would stay with the old contents; or when no lease is to be had
// that would tell. Then the file is as before.
void defragment(const Place& place, SourceFile& src, const Request& request, Progress& progress);

// The same for a source that was opened by its path; a directory is left alone.
void defragment_operand(SourceFile& src, const Request& request, Progress& progress);

}  // namespace cloning
