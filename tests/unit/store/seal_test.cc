// SPDX-License-Identifier: Apache-2.0
// A file is sealed if nobody has the write permission.
#include "store/seal.h"

#include <gtest/gtest.h>

namespace {

TEST(Seal, AnyWritePermissionMeansNotSealed) {
  struct stat file {};
  for (const mode_t mode : {0444U, 0400U, 0000U, 0555U}) {
    file.st_mode = S_IFREG | mode;
    EXPECT_TRUE(store::is_sealed(file)) << std::oct << mode;
  }
  for (const mode_t mode : {0644U, 0464U, 0446U, 0200U}) {
    file.st_mode = S_IFREG | mode;
    EXPECT_FALSE(store::is_sealed(file)) << std::oct << mode;
  }
}

}  // namespace
