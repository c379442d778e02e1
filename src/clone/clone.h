// One source, one destination: the whole of a clone, from checks to publication.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "clone/contents.h"
#include "clone/progress.h"
#include "clone/report.h"
#include "clone/request.h"

namespace cloning {

// Opens what is to be cloned, a regular file or a directory; a symlink is followed. Throws BadData
// for anything else, std::system_error when it is missing or unreadable.
SourceFile open_operand(const std::string& path);

// Makes `dst` a clone of `src`: nothing or the whole appears there, whatever happens to us. Throws
// Refused when something is there already, UsageError when `dst` would be inside `src`, and
// whatever the steps throw (staging.h, contents.h, tree.h); then `dst` is as before.
CloneReport clone_to(const SourceFile& src, const std::string& dst, const Request& request,
                     Progress& progress);

}  // namespace cloning
