// SPDX-License-Identifier: Apache-2.0
// Little-endian numbers in strings of bytes, whatever the byte order of the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace base {

// The number that all of `bytes`, at most 8, hold.
inline uint64_t read_little_endian(std::string_view bytes) {
  uint64_t number = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    number |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  return number;
}

// Appends the lowest `width` bytes of `number`; `width` is at most 8.
inline void append_little_endian(std::string& bytes, uint64_t number, size_t width) {
  for (size_t i = 0; i < width; ++i) {
    bytes += static_cast<char>(number >> (8 * i) & 0xffU);
  }
}

}  // namespace base
