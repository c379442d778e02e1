// SPDX-License-Identifier: Apache-2.0
// Tests crc64 against its definition and its check value.
#include "meta/vmstate/crc64.h"

#include <gtest/gtest.h>

#include <string>

namespace vmstate = meta::vmstate;

namespace {

// Computes the CRC bit by bit, as in its definition.
uint64_t slow_crc(const std::string& bytes) {
  uint64_t crc = 0;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc & 1U) != 0 ? crc >> 1U ^ 0x95ac9329ac4bc9b5 : crc >> 1U;
    }
  }
  return crc;
}

TEST(Crc64, HasTheCheckValueOfJones) {
  EXPECT_EQ(vmstate::crc64("123456789"), 0xe9c6d914c4b8d9ca);
  EXPECT_EQ(vmstate::crc64(""), 0U);
}

TEST(Crc64, EqualsTheDefinitionAtEveryLength) {
  std::string bytes;
  for (int i = 0; i < 70; ++i) {
    EXPECT_EQ(vmstate::crc64(bytes), slow_crc(bytes)) << i;
    bytes += static_cast<char>(i * 37 + 11);
  }
}

TEST(Crc64, ContinuesFromThePreviousCrc) {
  const std::string bytes = "the quick brown fox jumps over the lazy dog";
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    EXPECT_EQ(vmstate::crc64(bytes.substr(cut), vmstate::crc64(bytes.substr(0, cut))),
              vmstate::crc64(bytes));
  }
}

TEST(Crc64, OfBytesThatEndWithTheirCrcIsZero) {
  std::string bytes = "some state";
  const uint64_t crc = vmstate::crc64(bytes);
  for (size_t i = 0; i < 8; ++i) {
    bytes += static_cast<char>(crc >> (8 * i) & 0xffU);
  }
  EXPECT_EQ(vmstate::crc64(bytes), 0U);
  bytes[3] ^= 1;
  EXPECT_NE(vmstate::crc64(bytes), 0U);
}

}  // namespace
