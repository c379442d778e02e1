// SPDX-License-Identifier: Apache-2.0
// Tests little-endian numbers of each width.
#include "base/little_endian.h"

#include <gtest/gtest.h>

namespace {

TEST(LittleEndian, IsReadAsItWasWritten) {
  std::string bytes;
  base::append_little_endian(bytes, 0x0123456789abcdef, 8);
  EXPECT_EQ(bytes, "\xef\xcd\xab\x89\x67\x45\x23\x01");
  EXPECT_EQ(base::read_little_endian(bytes), 0x0123456789abcdefU);
  for (size_t width = 0; width < 8; ++width) {
    const uint64_t mask = (uint64_t{1} << (8 * width)) - 1;
    EXPECT_EQ(base::read_little_endian(std::string_view(bytes).substr(0, width)),
              0x0123456789abcdefU & mask);
  }
}

TEST(LittleEndian, KeepsOnlyTheLowestBytesOfANumber) {
  std::string bytes = "x";
  base::append_little_endian(bytes, 0xff00ff01, 2);
  EXPECT_EQ(bytes, std::string("x\x01\xff"));
}

}  // namespace
