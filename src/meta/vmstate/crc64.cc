// SPDX-License-Identifier: Apache-2.0
// Computes the CRC eight bytes at a time, with tables that the compiler makes.
#include "meta/vmstate/crc64.h"

#include <array>
#include <cstddef>
#include <cstring>

namespace meta::vmstate {
namespace {

constexpr uint64_t kReflectedPolynomial = 0x95ac9329ac4bc9b5;
constexpr size_t kSlices = 8;
using Table = std::array<std::array<uint64_t, 256>, kSlices>;

// Slicing by 8: row k holds the effect of a byte that is followed by k more bytes.
constexpr Table make_table() {
  Table table{};
  for (size_t byte = 0; byte < 256; ++byte) {
    uint64_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc & 1U) != 0 ? crc >> 1U ^ kReflectedPolynomial : crc >> 1U;
    }
    table[0][byte] = crc;
  }
  for (size_t slice = 1; slice < kSlices; ++slice) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint64_t crc = table[slice - 1][byte];
      table[slice][byte] = crc >> 8U ^ table[0][crc & 0xffU];
    }
  }
  return table;
}

constexpr Table kTable = make_table();

}  // namespace

uint64_t crc64(std::string_view bytes, uint64_t crc) {
  for (; bytes.size() >= kSlices; bytes.remove_prefix(kSlices)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);  // the hosts of Firecracker are little endian
    word ^= crc;
    crc = 0;
    for (size_t i = 0; i < kSlices; ++i) {
      crc ^= kTable[kSlices - 1 - i][word >> (8 * i) & 0xffU];
    }
  }
  for (const char c : bytes) {
    crc = crc >> 8U ^ kTable[0][(crc ^ static_cast<unsigned char>(c)) & 0xffU];
  }
  return crc;
}

}  // namespace meta::vmstate
