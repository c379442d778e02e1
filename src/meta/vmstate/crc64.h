// SPDX-License-Identifier: Apache-2.0
// Computes CRC-64/Jones, the checksum at the end of a Firecracker state file.
#pragma once

#include <cstdint>
#include <string_view>

namespace meta::vmstate {

// Polynomial 0xad93d23594c935a9, reflected, initial value 0, no final xor. "123456789" gives
// 0xe9c6d914c4b8d9ca. A file that ends with its own CRC (little endian) gives 0. `crc` is the CRC
// of the bytes before `bytes`.
uint64_t crc64(std::string_view bytes, uint64_t crc = 0);

}  // namespace meta::vmstate
