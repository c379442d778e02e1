// SPDX-License-Identifier: Apache-2.0
// The name of a VMM, as the option --id of Firecracker accepts it.
#pragma once

#include <string>
#include <string_view>

namespace fc {

// Returns `id` if Firecracker accepts it: 1 to 64 letters, digits and '-' (it panics for any other
// character, such as '_' or '.'). Otherwise returns "snapfork-" and 16 hexadecimal digits of a hash
// of `id`.
std::string firecracker_id(std::string_view id);

}  // namespace fc
