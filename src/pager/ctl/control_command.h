// SPDX-License-Identifier: Apache-2.0
// uffd-ctl, the client of a running service for operators and the driver.
#pragma once

#include <string>

namespace pager {

// Returns $SNAPFORK_PAGER, else "pager.sock" in /run/snapfork (root) or $XDG_RUNTIME_DIR/snapfork.
// Throws base::UsageError if the variables are not set.
std::string default_control_path();

// Runs "uffd-ctl [--control SOCK] VERB ...". Returns the exit status. Throws what ControlClient
// throws.
int run_control_command(int argc, char** argv);

}  // namespace pager
