// SPDX-License-Identifier: Apache-2.0
// One source, one destination: the whole of a clone, from checks to publication.
#pragma once

#include <string>

#include "clone/progress.h"
#include "clone/report.h"
#include "clone/request.h"
#include "clone/source_file.h"

namespace cloning {

// Makes `dst` a clone of `src`: nothing or the whole appears there, whatever happens to us. With
// request.replace it takes the place of what is there, in one step. Throws Refused when something
// is there already, UsageError when `dst` would be inside `src` or would replace it, and whatever
// the steps throw (staging.h, contents.h, tree.h); then `dst` is as before.
CloneReport clone_to(const SourceFile& src, const std::string& dst, const Request& request,
                     Progress& progress);

}  // namespace cloning
