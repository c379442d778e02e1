// SPDX-License-Identifier: Apache-2.0
// The release of the running kernel.
#pragma once

#include <string>
#include <string_view>

namespace base {

// The release that uname(2) returns: "6.1.0-40-amd64".
std::string kernel_release();

// Whether `release` is `major`.`minor` or later. False if it does not start with two numbers.
bool is_kernel_at_least(std::string_view release, unsigned major, unsigned minor);

}  // namespace base
