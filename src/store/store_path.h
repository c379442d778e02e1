// SPDX-License-Identifier: Apache-2.0
// Which guest a path belongs to, however it is spelled.
#pragma once

#include <optional>
#include <string>

#include "store/store.h"

namespace store {

// The id of the guest in whose directory `path` lies, without symbolic links and compared by
// inodes: so also through a bind mount or another spelling. Nothing for what lies elsewhere.
// Throws std::system_error when `path` cannot be resolved.
std::optional<std::string> guest_of_path(const Store& store, const std::string& path);

}  // namespace store
