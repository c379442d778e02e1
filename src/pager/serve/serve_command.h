// SPDX-License-Identifier: Apache-2.0
// uffd-serve as a server: of one memory file in the foreground, or as a service.
#pragma once

namespace pager {

// Parses the command line, serves, and returns the exit status when the server ends.
int run_serve_command(int argc, char** argv);

}  // namespace pager
