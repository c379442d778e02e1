// SPDX-License-Identifier: Apache-2.0
// Clones one source to one destination, from the checks to the publication.
#pragma once

#include <string>

#include "clone/progress.h"
#include "clone/report.h"
#include "clone/request.h"
#include "clone/source_file.h"

namespace cloning {

// Makes `dst` a clone of `src`. Either the complete clone appears or nothing does, even if this
// process is killed. With request.replace, the clone replaces an existing `dst` in one step. Throws
// Refused if `dst` already exists; UsageError if `dst` would be inside `src` or would replace it;
// and whatever the steps throw (staging.h, contents.h, tree.h). `dst` is then unchanged.
CloneReport clone_to(const SourceFile& src, const std::string& dst, const Request& request,
                     Progress& progress);

}  // namespace cloning
