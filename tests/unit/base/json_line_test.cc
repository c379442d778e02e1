// SPDX-License-Identifier: Apache-2.0
// The JSON writer produces valid JSON for any input bytes.
#include "base/json_line.h"
#include "base/utf8.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace {

TEST(JsonLineTest, ARecordStartsWithTypeAndVersion) {
  EXPECT_EQ(
      base::JsonLine("fork").text("id", "a").number("n", -1).boolean("b", true).null("x").str(),
      R"({"type":"fork","v":1,"id":"a","n":-1,"b":true,"x":null})");
}

TEST(JsonLineTest, NestedObjectsHaveNoType) {
  EXPECT_EQ(base::JsonLine().raw("a", base::JsonLine().number("b", 2).str()).str(),
            R"({"a":{"b":2}})");
  EXPECT_EQ(base::JsonLine().str(), "{}");
}

TEST(JsonLineTest, EveryByteAndPairOfBytesGivesValidJson) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; second += 5) {
      const std::string text{static_cast<char>(first), static_cast<char>(second)};
      const auto parsed = nlohmann::json::parse(base::json_string(text), nullptr, false);
      ASSERT_TRUE(parsed.is_string()) << first << " " << second;
      if (base::is_utf8(text)) {
        ASSERT_EQ(parsed.get<std::string>(), text);
      }
    }
  }
}

TEST(JsonLineTest, Utf8FollowsTheStandard) {
  EXPECT_TRUE(base::is_utf8("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"));
  EXPECT_FALSE(base::is_utf8("\xc0\x80"));          // overlong
  EXPECT_FALSE(base::is_utf8("\xed\xa0\x80"));      // surrogate
  EXPECT_FALSE(base::is_utf8("\xf4\x90\x80\x80"));  // above U+10FFFF
  EXPECT_FALSE(base::is_utf8("\xe2\x82"));          // cut off
}

TEST(JsonLineTest, APathThatIsNotUtf8KeepsItsBytes) {
  EXPECT_EQ(base::JsonLine().path("path", "/tmp/\xff").str(), R"({"path_b64":"L3RtcC//"})");
  EXPECT_EQ(base::JsonLine().path("path", "/tmp/x").str(), R"({"path":"/tmp/x"})");
}

TEST(JsonLineTest, Arrays) {
  const std::vector<std::string> texts{"a", "b\"c"};
  EXPECT_EQ(base::json_array(texts), R"(["a","b\"c"])");
  EXPECT_EQ(base::json_array({}), "[]");
  EXPECT_EQ(base::JsonList().str(), "[]");
  EXPECT_EQ(base::JsonList().add("1").add("[]").add("{}").str(), "[1,[],{}]");
}

}  // namespace
