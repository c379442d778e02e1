// SPDX-License-Identifier: Apache-2.0
// uffd-ctl: the operator's and the driver's client of a running service.
#pragma once

#include <string>

namespace pager {

// SNAPFORK_PAGER, else "pager.sock" in /run/snapfork (root) or $XDG_RUNTIME_DIR/snapfork. Throws
// base::UsageError when there is none of these.
std::string default_control_path();

// Runs "uffd-ctl [--control SOCK] VERB ...". Returns the exit status; throws
// base::Refused when no server is there or it says no.
int run_control_command(int argc, char** argv);

}  // namespace pager
