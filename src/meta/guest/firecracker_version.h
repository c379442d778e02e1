// SPDX-License-Identifier: Apache-2.0
// Finds the version of a Firecracker that a caller names by its version or by its program.
#pragma once

#include <string>

namespace meta {

// Returns `text` if it is a version ("1.16.0"). Otherwise runs the program `text --version`, for at
// most 5 s and without a shell, and returns the version that it prints. Throws std::system_error if
// it cannot be executed, and base::BadData if it does not print a version of Firecracker.
std::string firecracker_version(const std::string& text);

}  // namespace meta
