// SPDX-License-Identifier: Apache-2.0
// Hexadecimal text of fixed length.
#pragma once

#include <cstdint>
#include <string>

namespace base {

// Returns the lowest `digits` hexadecimal digits of `number`, in lower case, with leading zeros.
inline std::string hex_text(uint64_t number, unsigned digits) {
  std::string text(digits, '0');
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, number >>= 4U) {
    *digit = "0123456789abcdef"[number & 0xfU];
  }
  return text;
}

}  // namespace base
