// The version that all programs of the suite report.
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace base {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace base
