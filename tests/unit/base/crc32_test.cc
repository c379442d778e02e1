// SPDX-License-Identifier: Apache-2.0
// Tests CRC-32 with the check value of its definition.
#include "base/crc32.h"

#include <gtest/gtest.h>

#include <string>

namespace base {
namespace {

TEST(Crc32, HasTheCheckValueOfItsDefinition) {
  EXPECT_EQ(crc32("123456789"), 0xcbf43926U);
  EXPECT_EQ(crc32(""), 0U);
}

TEST(Crc32, IsTheSameInTwoPartsOfAnyLength) {
  const std::string text = "the quick brown fox jumps over the lazy dog";
  for (size_t at = 0; at <= text.size(); ++at) {
    EXPECT_EQ(crc32(text.substr(at), crc32(text.substr(0, at))), crc32(text)) << at;
  }
}

}  // namespace
}  // namespace base
