// SPDX-License-Identifier: Apache-2.0
// CRC-32 as in zlib, gzip and PNG.
#pragma once

#include <cstdint>
#include <string_view>

namespace base {

// The CRC-32 of `data`: polynomial 0x04c11db7, reflected; initial value and final xor 0xffffffff.
// It finds every change of up to 32 adjacent bits. With the result for the bytes before `data` as
// `before`, returns the CRC-32 of both.
uint32_t crc32(std::string_view data, uint32_t before = 0);

}  // namespace base
