// SPDX-License-Identifier: Apache-2.0
// Which names in a guest's directory are of files that a running VMM makes: no clone has them.
#pragma once

#include <string_view>

namespace store {

// A socket's name, whatever the file is.
bool is_socket_name(std::string_view name);
// An image that is being compressed: of a regular file only.
bool is_half_compressed_name(std::string_view name);

}  // namespace store
