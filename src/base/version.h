// SPDX-License-Identifier: Apache-2.0
// The version that all programs of the suite report.
#pragma once

namespace base {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace base
