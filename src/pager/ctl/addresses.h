// SPDX-License-Identifier: Apache-2.0
// To which server, and to what in it, a command line refers.
#pragma once

#include <string>

#include "base/options.h"

namespace pager {

// The control socket: --control, else the default (store::find_control_socket). Throws
// base::UsageError if there is none.
std::string control_socket_of(const base::ParsedOptions& options);

// The path of a session in requests. Throws base::UsageError for an id with bytes that are not
// allowed in such a path; the server would replace them by '-'.
std::string session_target(const std::string& id);

}  // namespace pager
