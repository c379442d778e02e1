// The directory of a service's session sockets and records.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace pager {

// "s" beside the control socket, made 0700 when missing. What a server that was killed left there
// goes: sockets, and the records ("ID.vmm") of VMMs that have ended; the others name guests that
// hang. Call it only while holding the control socket's lock. Throws base::Refused when it belongs
// to another user, std::system_error.
std::string prepare_service_dir(const std::string& control_path);

}  // namespace pager
