// SPDX-License-Identifier: Apache-2.0
// The zero test reads every byte, at every size.
#include "base/is_zero.h"

#include <gtest/gtest.h>

#include <vector>

namespace {

TEST(IsZero, ChecksEveryByte) {
  for (const size_t size : {0U, 1U, 7U, 8U, 9U, 4095U, 4096U}) {
    std::vector<std::byte> bytes(size);
    EXPECT_TRUE(base::is_zero(bytes));
    for (const size_t at : {size_t{0}, size / 2, size - 1}) {
      if (size > 0) {
        bytes[at] = std::byte{1};
        EXPECT_FALSE(base::is_zero(bytes)) << size << " " << at;
        bytes[at] = std::byte{0};
      }
    }
  }
}

}  // namespace
