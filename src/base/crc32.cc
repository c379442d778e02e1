// SPDX-License-Identifier: Apache-2.0
// Computes CRC-32 with eight tables, 8 bytes at a time: several times as fast as byte by byte.
#include "base/crc32.h"

#include <array>
#include <cstddef>

namespace base {
namespace {

constexpr size_t kSlices = 8;
using Tables = std::array<std::array<uint32_t, 256>, kSlices>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < tables[0].size(); ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value >> 1U) ^ ((value & 1U) != 0 ? 0xedb88320U : 0U);
    }
    tables[0][byte] = value;
  }
  for (size_t slice = 1; slice < kSlices; ++slice) {
    for (size_t byte = 0; byte < tables[0].size(); ++byte) {
      const uint32_t value = tables[slice - 1][byte];
      tables[slice][byte] = (value >> 8U) ^ tables[0][value & 0xffU];
    }
  }
  return tables;
}
constexpr Tables kTables = make_tables();

uint32_t byte_at(std::string_view data, size_t at) {
  return static_cast<unsigned char>(data[at]);
}

}  // namespace

uint32_t crc32(std::string_view data, uint32_t before) {
  uint32_t crc = ~before;
  size_t at = 0;
  for (; data.size() - at >= kSlices; at += kSlices) {
    const uint32_t low = crc ^ (byte_at(data, at) | byte_at(data, at + 1) << 8U |
                                byte_at(data, at + 2) << 16U | byte_at(data, at + 3) << 24U);
    crc = kTables[7][low & 0xffU] ^ kTables[6][(low >> 8U) & 0xffU] ^
          kTables[5][(low >> 16U) & 0xffU] ^ kTables[4][low >> 24U] ^
          kTables[3][byte_at(data, at + 4)] ^ kTables[2][byte_at(data, at + 5)] ^
          kTables[1][byte_at(data, at + 6)] ^ kTables[0][byte_at(data, at + 7)];
  }
  for (; at < data.size(); ++at) {
    crc = (crc >> 8U) ^ kTables[0][(crc ^ byte_at(data, at)) & 0xffU];
  }
  return ~crc;
}

}  // namespace base
