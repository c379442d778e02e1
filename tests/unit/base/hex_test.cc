// SPDX-License-Identifier: Apache-2.0
// Tests hexadecimal text.
#include "base/hex.h"

#include <gtest/gtest.h>

namespace base {
namespace {

TEST(Hex, HasTheRequestedNumberOfDigits) {
  EXPECT_EQ(hex_text(0, 2), "00");
  EXPECT_EQ(hex_text(0xaf, 2), "af");
  EXPECT_EQ(hex_text(0x0123456789abcdef, 16), "0123456789abcdef");
  EXPECT_EQ(hex_text(0x1ff, 2), "ff");  // only the lowest digits
  EXPECT_EQ(hex_text(1, 8), "00000001");
}

}  // namespace
}  // namespace base
