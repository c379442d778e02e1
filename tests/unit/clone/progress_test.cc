// SPDX-License-Identifier: Apache-2.0
// The progress line fits the terminal.
#include "clone/progress.h"

#include <gtest/gtest.h>

namespace cloning {
namespace {

TEST(Progress, AShortNameIsUnchanged) {
  EXPECT_EQ(fitted("'memory'", ": 22%", 79), "'memory': 22%");
  EXPECT_EQ(fitted("'memory'", ": 22%", 13), "'memory': 22%");
}

TEST(Progress, ALongNameKeepsItsEnd) {
  EXPECT_EQ(fitted("'memory'", ": 22%", 12), "...ory': 22%");
  EXPECT_EQ(fitted("'memory'", ": 22%", 8), "...: 22%");
}

TEST(Progress, NothingIsWiderThanTheTerminal) {
  EXPECT_EQ(fitted("'memory'", ": 22%", 4), "...:");
  EXPECT_EQ(fitted("'memory'", ": 22%", 0), "");
}

TEST(Progress, CharactersAreNotCutInTwo) {
  EXPECT_EQ(fitted("'\xc3\xa4\xc3\xb6\xc3\xbc'", ": 1%", 9), "'\xc3\xa4\xc3\xb6\xc3\xbc': 1%");
  EXPECT_EQ(fitted("'\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f'", ": 1%", 9), "...\xc3\x9f': 1%");
}

}  // namespace
}  // namespace cloning
