// SPDX-License-Identifier: Apache-2.0
// Finds the guest to which a path belongs, in any spelling.
#pragma once

#include <optional>
#include <string>

#include "store/store.h"

namespace store {

// Returns the id of the guest whose directory contains `path`. Symbolic links are resolved and
// directories are compared by inode, so a bind mount or another spelling gives the same answer.
// Returns nothing for a path outside of the guests. Throws std::system_error if `path` cannot be
// resolved.
std::optional<std::string> guest_of_path(const Store& store, const std::string& path);

}  // namespace store
