// SPDX-License-Identifier: Apache-2.0
// Finds nonzero bytes by memcmp(3).
#include "base/is_zero.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace base {

bool is_zero(std::span<const std::byte> bytes) {
  // All bytes are zero if the first word is zero and each byte equals the one a word before it.
  // memcmp is the fastest loop available, and most data differs in the first word.
  constexpr size_t kWord = sizeof(uint64_t);
  if (bytes.size() < kWord) {
    return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
  }
  uint64_t word = 0;
  std::memcpy(&word, bytes.data(), kWord);
  return word == 0 && std::memcmp(bytes.data(), bytes.data() + kWord, bytes.size() - kWord) == 0;
}

}  // namespace base
