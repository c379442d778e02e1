// SPDX-License-Identifier: Apache-2.0
// Decides which entries of a tree its clone omits.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "clone/request.h"

namespace cloning {

// Returns whether the entry with the path `relative` (to the source, without "./") is omitted, with
// everything below it. `type` is S_IFREG and so on. Sockets are always omitted; other entries as
// the request's globs and profile say.
//
// A glob without a slash is matched against the entry's name at any depth. A glob with a slash is
// matched against the whole relative path, where "*" and "?" do not match a slash; a leading slash
// stands for the source.
bool is_left_out(const Request& request, const std::string& relative, mode_t type);

// Returns whether a symbolic link at `relative` (to the source) with this target leads out of the
// source. An absolute link does: in every clone it would refer to the source's own file.
bool link_leads_out(const std::string& relative, std::string_view text);

// Returns whether `relative` is `snapshots/*/memory`: where a guest directory keeps memory files.
bool is_memory_path(const std::string& relative);

}  // namespace cloning
