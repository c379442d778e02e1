// SPDX-License-Identifier: Apache-2.0
// uffd-ctl, the client of a running service for operators and the driver.
#pragma once

namespace pager {

// Runs "uffd-ctl [--control SOCK] VERB ...". Returns the exit status. Throws what ControlClient
// throws.
int run_control_command(int argc, char** argv);

}  // namespace pager
