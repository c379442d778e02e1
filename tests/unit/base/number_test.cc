// SPDX-License-Identifier: Apache-2.0
// A number is parsed only if it is the whole string and fits into the type.
#include "base/number.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string_view>

namespace {

using base::parse_number;
using base::take_number;

TEST(ParseNumber, ReadsAWholeStringOfDigits) {
  EXPECT_EQ(parse_number<int>("0"), 0);
  EXPECT_EQ(parse_number<int>("-7"), -7);
  EXPECT_EQ(parse_number<uint64_t>("18446744073709551615"), UINT64_MAX);
}

TEST(ParseNumber, RefusesOtherTextAndNumbersThatDoNotFit) {
  for (const char* text : {"", " 1", "1 ", "+1", "1x", "0x1", "1.0", "2147483648"}) {
    EXPECT_FALSE(parse_number<int>(text)) << text;
  }
  EXPECT_FALSE(parse_number<uint64_t>("-1"));
  EXPECT_FALSE(parse_number<uint64_t>("18446744073709551616"));
}

TEST(TakeNumber, RemovesTheNumberAndLeavesTheRest) {
  std::string_view text = "12-ff x";
  EXPECT_EQ(take_number<int>(text), 12);
  text.remove_prefix(1);
  EXPECT_EQ(take_number<int>(text, 16), 255);
  EXPECT_EQ(text, " x");
}

TEST(TakeNumber, LeavesTextWithoutANumberAsItIs) {
  for (const std::string_view text : {"", " 1", "x", "99999999999"}) {
    std::string_view rest = text;
    EXPECT_FALSE(take_number<int>(rest)) << text;
    EXPECT_EQ(rest, text);
  }
}

}  // namespace
