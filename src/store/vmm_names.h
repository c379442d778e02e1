// SPDX-License-Identifier: Apache-2.0
// The names of files that a running VMM creates in a guest's directory; clones omit them.
#pragma once

#include <string_view>

namespace store {

// Returns whether the name is that of a socket, whatever the type of the file is.
bool is_socket_name(std::string_view name);
// Returns whether the name is that of an image during its compression. Only for regular files.
bool is_half_compressed_name(std::string_view name);

}  // namespace store
