// SPDX-License-Identifier: Apache-2.0
// The version of all programs of the suite.
#pragma once

namespace base {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace base
