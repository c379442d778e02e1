// SPDX-License-Identifier: Apache-2.0
// What every main does before and after its own work.
#pragma once

#include <functional>
#include <string_view>

namespace base {

// Runs `body(argc, argv)` as the program `name`: descriptors 0 to 2 are made sure of first,
// whatever it throws becomes a message and the exit status of base/exit_code.h, standard output is
// closed and checked at the end. Returns the status for main to return. `body` returns a status
// itself (0 or 1).
int run_program(std::string_view name, int argc, char** argv,
                const std::function<int(int, char**)>& body);

}  // namespace base
