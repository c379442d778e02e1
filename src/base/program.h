// SPDX-License-Identifier: Apache-2.0
// The common part of every main function.
#pragma once

#include <functional>
#include <string_view>

namespace base {

// Runs `body(argc, argv)` as the program `name`. First ensures that descriptors 0 to 2 are open,
// and gives the process that name. An exception becomes a message and an exit status of
// base/exit_code.h. At the end it closes and checks standard output. Returns the exit status for
// main. `body` itself returns 0 or 1.
int run_program(std::string_view name, int argc, char** argv,
                const std::function<int(int, char**)>& body);

}  // namespace base
