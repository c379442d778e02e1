// SPDX-License-Identifier: Apache-2.0
// JSON objects that keep the source of their values, compared with nlohmann-json.
#include "base/json_object.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "base/error.h"

namespace {

using base::JsonObject;

constexpr const char* kHypeman = R"({
  "Id": "tz4a98xxat96iws9zmbrgj3a1",
  "Size": 1073741824,
  "Ratio": 1.0,
  "Huge": 1e400,
  "Long": 123456789012345678901234567890,
  "Minus": -0,
  "Env": {
    "A": "x\u003cy",
    "B.C": "dots"
  },
  "Volumes": [
    1.50,
    {"a": [ ]}
  ],
  "StartedAt": null
})";

std::string refusal(const std::string& text) {
  try {
    static_cast<void>(JsonObject::parse(text, "the/name"));
  } catch (const base::BadData& error) {
    EXPECT_NE(std::string(error.what()).find("'the/name'"), std::string::npos) << error.what();
    return error.what();
  }
  return "accepted";
}

void expect_refused(const std::string& text, const std::string& why) {
  EXPECT_NE(refusal(text).find(why), std::string::npos) << refusal(text);
}

TEST(JsonObject, WritesBackWhatItReadToTheByte) {
  EXPECT_EQ(JsonObject::parse(kHypeman, "x").pretty(), kHypeman);
  EXPECT_EQ(JsonObject::parse("{}", "x").pretty(), "{}");
  EXPECT_EQ(JsonObject::parse(" { } ", "x").pretty(), "{}");
}

TEST(JsonObject, ChangesOneValueAndKeepsTheSourceOfTheOthers) {
  JsonObject object = JsonObject::parse(kHypeman, "x");
  object.set("Id", "\"other\"");
  object.set("New", "[1]");
  object.erase("StartedAt");
  std::string expected = kHypeman;
  expected.replace(expected.find("tz4a98xxat96iws9zmbrgj3a1"), 25, "other");
  expected.replace(expected.find("\"StartedAt\": null"), 17, "\"New\": [1]");
  EXPECT_EQ(object.pretty(), expected);
}

TEST(JsonObject, FindsByKeyAndByPath) {
  const JsonObject object = JsonObject::parse(kHypeman, "x");
  EXPECT_EQ(*object.find("Huge"), "1e400");
  EXPECT_EQ(object.find("huge"), nullptr);
  EXPECT_EQ(object.find_path("Env.A"), "\"x\\u003cy\"");
  EXPECT_EQ(object.find_path("Env.B.C"), "\"dots\"");
  EXPECT_EQ(object.find_path("Env.B"), std::nullopt);
  EXPECT_EQ(object.find_path("Size.A"), std::nullopt);
  EXPECT_EQ(object.find_path("Env."), std::nullopt);
  EXPECT_EQ(object.find_path(""), std::nullopt);
}

TEST(JsonObject, SetByPathCreatesMissingObjects) {
  JsonObject object = JsonObject::parse(R"({"Env":{"x":1.0},"n":1})", "x");
  EXPECT_TRUE(object.set_path("Env.y.z", "2e0"));
  EXPECT_TRUE(object.set_path("new.key", "true"));
  EXPECT_FALSE(object.set_path("n.key", "true"));
  EXPECT_EQ(object.pretty(), R"({
  "Env": {
    "x": 1.0,
    "y": {
      "z": 2e0
    }
  },
  "n": 1,
  "new": {
    "key": true
  }
})");
}

TEST(JsonObject, CompactsWithoutTouchingStrings) {
  const JsonObject object =
      JsonObject::parse("{ \"a b\" : [ 1.0 ,\n \" x \\\" y \" ] , \"\\\\\" : { } }", "x");
  EXPECT_EQ(object.compact(), R"({"a b":[1.0," x \" y "],"\\":{}})");
}

TEST(JsonObject, RefusesInvalidInputWithItsReason) {
  expect_refused("", "it is empty");
  expect_refused("  \n", "not valid JSON");
  expect_refused("[]", "not a JSON object");
  expect_refused("null", "not a JSON object");
  expect_refused("\xef\xbb\xbf{}", "byte order mark");
  expect_refused(std::string("{\"a\":\0 1}", 9), "NUL character (at byte 5)");
  expect_refused("{\"a\":\"\xff\"}", "not UTF-8");
  expect_refused(R"({"a":1,"b":{"c":1,"c":2}})", "duplicate key 'c' in one object");
  expect_refused(R"({"a":1,"\u0061":2})", "duplicate key 'a' in one object");
  expect_refused(R"({"a":1}x)", "unexpected data after the value (at byte 7)");
  expect_refused(R"({"a":01})", "missing ',' or '}'");
  expect_refused(R"({"a":1,})", "missing key");
  expect_refused("{'a':1}", "missing key");
  expect_refused(R"({"a":+1})", "missing value");
  expect_refused(R"({"a":.5})", "missing value");
  expect_refused(R"({"a":NaN})", "missing value");
  expect_refused(R"({"a":tru})", "missing value");
  expect_refused("{\"a\":\"x\ny\"}", "control character");
  expect_refused(R"({"a":"\x"})", "unknown escape");
  expect_refused(R"({"a":"\u12g4"})", "four hexadecimal digits");
  expect_refused(R"({"a":")", "unterminated string");
  expect_refused(R"({"a")", "missing ':' after a key");
}

TEST(JsonObject, RefusesInputThatIsTooDeepOrTooLong) {
  const auto nested = [](int levels) {
    return "{\"a\":" + std::string(static_cast<size_t>(levels), '[') +
           std::string(static_cast<size_t>(levels), ']') + "}";
  };
  EXPECT_EQ(refusal(nested(base::kMaxJsonDepth - 1)), "accepted");
  expect_refused(nested(base::kMaxJsonDepth), "nested more than 100 levels");
  expect_refused(nested(3'000'000), "nested more than 100 levels");
  expect_refused(R"({"a":")" + std::string(base::kMaxJsonBytes, 'x') + "\"}", "it is longer than");
}

TEST(JsonObject, ReadReturnsNothingForOtherValuesAndThrowsForInvalidJson) {
  EXPECT_EQ(*JsonObject::read(R"( {"a":-0} )")->find("a"), "-0");
  EXPECT_FALSE(JsonObject::read("[]"));
  EXPECT_FALSE(JsonObject::read(" 1e400 "));
  EXPECT_THROW(JsonObject::read(""), base::JsonError);
  EXPECT_THROW(JsonObject::read("[1"), base::JsonError);
  EXPECT_THROW(JsonObject::read("\"\xff\""), base::JsonError);
  EXPECT_TRUE(JsonObject::read(R"({"a":")" + std::string(base::kMaxJsonBytes, 'x') + "\"}"));
}

TEST(JsonObject, FindsADuplicateAmongManyKeysWhateverTheirSpelling) {
  std::string text = R"({"\u006b7":0)";
  for (int i = 0; i < 1000; ++i) {
    text += ",\"k" + std::to_string(i) + "\":0";
  }
  expect_refused(text + "}", "duplicate key 'k7' in one object");
}

TEST(JsonValues, ValuesAreReadFromTheirSource) {
  EXPECT_EQ(base::json_text("\"\""), "");
  EXPECT_EQ(base::json_text(R"("\"\\\/\b\f\n\r\t\u0041\u00e4\ud83d\ude00")"),
            "\"\\/\b\f\n\r\tA\xc3\xa4\xf0\x9f\x98\x80");
  EXPECT_EQ(base::json_text(R"("\ud800x\udc00\ud800\u0041")"),
            "\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd"
            "A");
  EXPECT_EQ(base::json_text("1"), std::nullopt);
  EXPECT_EQ(base::json_boolean("true"), true);
  EXPECT_EQ(base::json_boolean("false"), false);
  EXPECT_EQ(base::json_boolean("null"), std::nullopt);
  EXPECT_EQ(base::json_integer("-42"), -42);
  EXPECT_EQ(base::json_integer("1.0"), std::nullopt);
  EXPECT_EQ(base::json_integer("9223372036854775808"), std::nullopt);
  EXPECT_EQ(base::json_unsigned("18446744073709551615"), 18446744073709551615U);
  EXPECT_EQ(base::json_unsigned("18446744073709551616"), std::nullopt);
  EXPECT_EQ(base::json_unsigned("-0"), std::nullopt);
  EXPECT_EQ(base::json_unsigned("1e3"), std::nullopt);
  EXPECT_EQ(base::json_elements("[1, \"a\" ,[2]]"),
            (std::vector<std::string_view>{"1", "\"a\"", "[2]"}));
  EXPECT_EQ(base::json_elements("[]"), std::vector<std::string_view>());
  EXPECT_EQ(base::json_elements(" [1]\n"), std::vector<std::string_view>{"1"});
  EXPECT_EQ(base::json_elements("{}"), std::nullopt);
  EXPECT_THROW(base::json_elements("[1"), base::JsonError);
  EXPECT_THROW(base::json_elements("[{\"a\":1,\"a\":1}]"), base::JsonError);
}

// Accepts and reads what nlohmann-json accepts, except for what is refused on purpose.
TEST(JsonObject, AgreesWithNlohmannOnBrokenInput) {
  std::mt19937 random(11);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same input in each run
  const std::string alphabet = "{}[]\",:\\ntruals0123456789.+- \n";
  std::string good = kHypeman;
  good.replace(good.find("1e400"), 5, "1e5");  // which nlohmann-json refuses
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = good;
    for (size_t i = random() % 3; i < 3; ++i) {
      text[random() % text.size()] = alphabet[random() % alphabet.size()];
    }
    const nlohmann::json other = nlohmann::json::parse(text, nullptr, false);
    const std::string said = refusal(text);
    if (said == "accepted") {
      ++accepted;
      ASSERT_TRUE(other.is_object()) << text;
      const JsonObject object = JsonObject::parse(text, "x");
      ASSERT_EQ(nlohmann::json::parse(object.compact()), other) << text;
      for (const JsonObject::Member& member : object.members()) {
        ASSERT_TRUE(other.contains(member.key));
      }
    } else {
      ASSERT_TRUE(!other.is_object() || said.find("duplicate key") != std::string::npos)
          << said << "\n"
          << text;
    }
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
