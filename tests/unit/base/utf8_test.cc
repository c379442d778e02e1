// SPDX-License-Identifier: Apache-2.0
// The characters of a foreign name that may reach a terminal.
#include "base/utf8.h"

#include <gtest/gtest.h>

#include "base/json_line.h"

namespace base {
namespace {

TEST(Printable, LettersOfAnyScriptStay) {
  EXPECT_EQ(printable("disk \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \xd7\x90"),
            "disk \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \xd7\x90");
}

TEST(Printable, EachControlCharacterBecomesAQuestionMark) {
  EXPECT_EQ(printable("\n\t\x1b\x7f"), "????");
  EXPECT_EQ(printable("\xc2\x80 \xc2\x9b \xc2\x9f"), "? ? ?");
  EXPECT_EQ(printable("\xc2\xa0"), "\xc2\xa0");
}

TEST(Printable, CharactersThatChangeTheDirectionAreReplaced) {
  EXPECT_EQ(printable("\xd8\x9c \xe2\x80\x8e \xe2\x80\x8f"), "? ? ?");
  // NOLINTNEXTLINE(misc-misleading-bidirectional): the test is about such text
  EXPECT_EQ(printable("\xe2\x80\xaa \xe2\x80\xae \xe2\x81\xa6 \xe2\x81\xa9"), "? ? ? ?");
  EXPECT_EQ(printable("\xe2\x80\xa8\xe2\x80\xa9"), "??");
  EXPECT_EQ(printable("\xe2\x80\xaf \xe2\x81\xa5 \xe2\x81\xaa"),
            "\xe2\x80\xaf \xe2\x81\xa5 \xe2\x81\xaa");
}

TEST(Printable, EachByteThatIsNotUtf8BecomesAQuestionMark) {
  EXPECT_EQ(printable("\x9b\xff\xe2\x82"), "????");
  EXPECT_EQ(printable("\xc0\x9b"), "??");
  EXPECT_FALSE(is_printable("\x9b"));
  EXPECT_TRUE(is_printable(""));
}

TEST(JsonString, EscapesControlCharactersAndKeepsTheValue) {
  // NOLINTNEXTLINE(misc-misleading-bidirectional): the test is about such text
  EXPECT_EQ(json_string("\x1b\x7f\xc2\x9b\xe2\x80\xae\xe2\x81\xa6 \xc3\xa4"),
            "\"\\u001b\\u007f\\u009b\\u202e\\u2066 \xc3\xa4\"");
}

}  // namespace
}  // namespace base
