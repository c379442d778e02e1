// SPDX-License-Identifier: Apache-2.0
// `uffd-serve` as a server: for one memory file in the foreground, or as a service with a control
// socket.
#pragma once

namespace pager {

// Parses the command line, serves, and returns the exit status when the last guest has ended.
int run_serve_command(int argc, char** argv);

}  // namespace pager
