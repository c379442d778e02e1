// SPDX-License-Identifier: Apache-2.0
// Which entries of a tree are left out of its clone.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "clone/request.h"

namespace cloning {

// Whether the entry with the path `relative` (to the source, without "./") is left out, with all
// below it. `type` is S_IFREG and so on. Sockets always are; else the request's globs and profile
// say so.
//
// A glob without a slash is matched against the entry's name at any depth, one with a slash against
// the whole relative path, where "*" and "?" match no slash; a leading slash stands for the source.
bool is_left_out(const Request& request, const std::string& relative, mode_t type);

// Whether a symbolic link at `relative` (to the source) with this text leads out of the source. An
// absolute one does: it would name the source's own file in every clone.
bool link_leads_out(const std::string& relative, std::string_view text);

// Whether `relative` is `snapshots/*/memory`: where a guest directory keeps memory images.
bool is_memory_path(const std::string& relative);

}  // namespace cloning
