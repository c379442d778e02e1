// SPDX-License-Identifier: Apache-2.0
// Tests which modes and numbers of links are a seal.
#include "store/seal.h"

#include <gtest/gtest.h>

namespace store {
namespace {

struct stat file_with(mode_t mode, nlink_t links) {
  struct stat st {};
  st.st_mode = S_IFREG | mode;
  st.st_nlink = links;
  return st;
}

TEST(Seal, EachWriteBitBreaksIt) {
  EXPECT_TRUE(is_sealed(file_with(0444, 1)));
  EXPECT_TRUE(is_sealed(file_with(0, 1)));
  EXPECT_TRUE(is_sealed(file_with(07555, 1)));
  for (const mode_t bit : {S_IWUSR, S_IWGRP, S_IWOTH}) {
    EXPECT_FALSE(is_sealed(file_with(0444 | bit, 1))) << bit;
    EXPECT_NE(seal_problem(file_with(0444 | bit, 1), Links::many), "") << bit;
  }
}

TEST(Seal, TheProblemNamesTheModeOrTheLinks) {
  EXPECT_EQ(seal_problem(file_with(0644, 1), Links::one), "it is writable (mode 0644)");
  EXPECT_EQ(seal_problem(file_with(0444, 2), Links::one), "its inode has 2 links");
  EXPECT_EQ(seal_problem(file_with(0444, 2), Links::many), "");
  EXPECT_EQ(seal_problem(file_with(0444, 1), Links::one), "");
}

}  // namespace
}  // namespace store
