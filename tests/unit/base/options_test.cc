// SPDX-License-Identifier: Apache-2.0
// Command lines: refusals, and the values that are accepted.
#include "base/options.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/message.h"
#include "base/output.h"

namespace {

std::optional<base::ParsedOptions> parse(std::vector<std::string> words) {
  base::Options options("tool verb", "[options] FILE...", "Does it.");
  options.flag("n,now", "at once").value("size", "N", "how much").value("to", "WHERE", "where");
  options.group("Odd").flag("x,odd", "odd").value("o,out", "FILE", "where to").unlisted();
  options.flag("old", "was there once").footer("That is all.");
  options.optional_value("maybe", "with a value or without");
  words.insert(words.begin(), "tool");
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  return options.parse(static_cast<int>(words.size()), argv.data());
}

TEST(OptionsTest, FlagsValuesAndOperands) {
  const auto parsed = parse({"a", "--now", "--to=x,y", "--to", "z", "b", "--", "-c"});
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->has("now"));
  EXPECT_EQ(parsed->values("to"), (std::vector<std::string>{"x,y", "z"}));  // not split at commas
  EXPECT_EQ(parsed->value("to"), "z");
  EXPECT_EQ(parsed->operands(), (std::vector<std::string>{"a", "b", "-c"}));
  EXPECT_FALSE(parsed->has("size"));
}

TEST(OptionsTest, LettersStandAloneTogetherAndBeforeAValue) {
  for (const auto& words : std::vector<std::vector<std::string>>{{"-n", "-x", "-o", "f"},
                                                                 {"-nxo", "f"},
                                                                 {"-nxof"},
                                                                 {"-xn", "--out=f"},
                                                                 {"-xn", "--out", "f"}}) {
    const auto parsed = parse(words);
    ASSERT_TRUE(parsed);
    EXPECT_TRUE(parsed->has("now") && parsed->has("odd")) << words[0];
    EXPECT_EQ(parsed->value("out"), "f") << words[0];
    EXPECT_TRUE(parsed->operands().empty());
  }
}

TEST(OptionsTest, ValuesMayBeEmptyLookLikeOptionsOrHoldASign) {
  EXPECT_EQ(parse({"--to="})->value("to"), "");
  EXPECT_EQ(parse({"--to", ""})->value("to"), "");
  EXPECT_EQ(parse({"--to", "--now"})->value("to"), "--now");
  EXPECT_EQ(parse({"--to=a=b"})->value("to"), "a=b");
  EXPECT_EQ(parse({"-", "--old"})->operands(), (std::vector<std::string>{"-"}));
}

TEST(OptionsTest, AValueAttachedToALetterMayHoldAnything) {
  for (const std::string value : {"a/b.c", "./x", "-1", "=x", "a,b", "--", "\xc3\xa4", "n x"}) {
    EXPECT_EQ(parse({"-o" + value})->value("out"), value);
    const auto parsed = parse({"-no" + value, "-x"});
    EXPECT_TRUE(parsed->has("now") && parsed->has("odd")) << value;
    EXPECT_EQ(parsed->value("out"), value);
  }
}

TEST(OptionsTest, TheWordAfterAnOptionWithAValueIsItsValue) {
  for (const std::string value : {"-1", "-", "--", "-oa/b", "--out=x", "-x", "--to"}) {
    for (const auto& words : std::vector<std::vector<std::string>>{{"--to", value, "--now", "f"},
                                                                   {"--to=" + value, "-n", "f"}}) {
      const auto parsed = parse(words);
      EXPECT_EQ(parsed->values("to"), std::vector<std::string>{value});
      EXPECT_TRUE(parsed->has("now") && !parsed->has("odd")) << value;
      EXPECT_EQ(parsed->operands(), std::vector<std::string>{"f"});
    }
    EXPECT_EQ(parse({"-no", value, "f"})->values("out"), std::vector<std::string>{value});
  }
}

TEST(OptionsTest, OperandsAreKeptAsTheyWereWritten) {
  const std::vector<std::string> operands{"a,b", "", "-", "x y", ",", "true", "\xff", "a=b"};
  EXPECT_EQ(parse(operands)->operands(), operands);
  EXPECT_EQ(parse({"--", "-o", "--to=x", "--", "a,b"})->operands(),
            (std::vector<std::string>{"-o", "--to=x", "--", "a,b"}));
  EXPECT_EQ(parse({"-x", "-xx", "--odd", "f"})->operands(), std::vector<std::string>{"f"});
}

TEST(OptionsTest, HelpShowsGroupsAndBreaksLines) {
  base::Options options("tool", "FILE", "Does it.");
  options.value("size", "N", "how much")
      .value("a-name-that-is-too-long-for-its", "COLUMN", "below")
      .flag("l,long",
            "what takes more than the eighty columns of a line goes on below its own beginning");
  options.group("Odd").flag("odd", "odd").unlisted().flag("old", "hidden").footer("That is all.");
  std::string program = "tool";
  std::string help = "-h";
  std::array<char*, 3> argv{program.data(), help.data(), nullptr};
  testing::internal::CaptureStdout();
  EXPECT_FALSE(options.parse(2, argv.data()));
  base::flush_out();
  EXPECT_EQ(testing::internal::GetCapturedStdout(),
            R"(Usage: tool FILE
Does it.

      --size N                  how much
      --a-name-that-is-too-long-for-its COLUMN
                                below
  -l, --long                    what takes more than the eighty columns of a
                                line goes on below its own beginning

 Odd options:
      --odd  odd

 Common options:
      --json     print JSON, one object per line
  -q, --quiet    print no warnings and no summaries
  -v, --verbose  print each step
  -h, --help     print this help
  -V, --version  print the version

That is all.
)");
}

TEST(OptionsTest, AnOptionalValueFollowsAnEqualsSign) {
  EXPECT_EQ(parse({"--maybe=no", "a"})->value("maybe"), "no");
  const auto parsed = parse({"--maybe", "a"});
  EXPECT_TRUE(parsed->has("maybe"));
  EXPECT_FALSE(parsed->value("maybe"));
  EXPECT_EQ(parsed->operands(), (std::vector<std::string>{"a"}));
}

TEST(OptionsTest, WordsKeepTheirOrder) {
  const auto parsed = parse({"a", "-n", "b", "--to=x", "--now", "c", "--", "-d"});
  ASSERT_TRUE(parsed);
  std::string words;
  for (const auto& word : parsed->in_order()) {
    words += word.name.empty() ? word.value + " " : "<" + word.name + "> ";
  }
  EXPECT_EQ(words, "a <now> b <to> <now> c -d ");
}

TEST(OptionsTest, WrongCommandLinesAreUsageErrors) {
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"--unknown"}, {"-z"}, {"-nz"}, {"--size"}, {"-no"}, {"--o"}, {"---"}, {"--now=1x"}}) {
    EXPECT_THROW(parse(words), base::UsageError) << words[0];
  }
}

TEST(OptionsTest, MessagesQuoteTheOptionAsWritten) {
  const auto said = [](const std::vector<std::string>& words) -> std::string {
    try {
      parse(words);
      return "nothing";
    } catch (const base::UsageError& error) {
      return error.what();
    }
  };
  EXPECT_EQ(said({"--unknown=1"}), "unknown option '--unknown'");
  EXPECT_EQ(said({"-nz"}), "unknown option '-z'");
  EXPECT_EQ(said({"--o"}), "unknown option '--o'");
  EXPECT_EQ(said({"--size"}), "option '--size' needs a value");
  EXPECT_EQ(said({"-no"}), "option '-o' needs a value");
  EXPECT_EQ(said({"--now=1"}), "option '--now' takes no value");
  EXPECT_EQ(said({"--now="}), "option '--now' takes no value");
  EXPECT_EQ(said({"--json=false"}), "option '--json' takes no value");
  EXPECT_EQ(said({"--no w"}), "unknown option '--no w'");
  EXPECT_EQ(said({"-?"}), "unknown option '-?'");
  EXPECT_EQ(said({"--?=x"}), "unknown option '--?=x'");
  EXPECT_EQ(said({"-5"}), "unknown option '-5'");
  EXPECT_EQ(said({"--to", "a", "--to"}), "option '--to' needs a value");
}

TEST(OptionsTest, AnAbbreviatedLongNameIsUnknown) {
  const auto said = [](const std::vector<std::string>& words) -> std::string {
    try {
      parse(words);
      return "nothing";
    } catch (const base::UsageError& error) {
      return error.what();
    }
  };
  EXPECT_EQ(said({"--siz", "1"}), "unknown option '--siz'");
  EXPECT_EQ(said({"--siz=1"}), "unknown option '--siz'");
  EXPECT_EQ(said({"--no"}), "unknown option '--no'");
  EXPECT_EQ(said({"--verb"}), "unknown option '--verb'");
}

TEST(OptionsTest, NumbersAreCheckedWhole) {
  EXPECT_EQ(parse({"--size", "12"})->number("size", 1, 20, 5), 12);
  EXPECT_EQ(parse({})->number("size", 1, 20, 5), 5);
  for (const char* bad : {"0", "21", "1x", "", "0x10", "99999999999999999999"}) {
    EXPECT_THROW(parse({std::string("--size=") + bad})->number("size", 1, 20, 5), base::UsageError)
        << bad;
  }
}

TEST(OptionsTest, SecondsHaveFractions) {
  EXPECT_EQ(parse({"--size", "0.25"})->seconds_as_ms("size", 7), 250);
  EXPECT_EQ(parse({"--size", "0"})->seconds_as_ms("size", 7), 0);
  EXPECT_EQ(parse({})->seconds_as_ms("size", 7), 7);
  for (const char* bad : {"-1", "x", "nan", "inf", "1s"}) {
    EXPECT_THROW(parse({std::string("--size=") + bad})->seconds_as_ms("size", 7), base::UsageError)
        << bad;
  }
}

TEST(OptionsTest, ABadChoiceListsTheAllowedValues) {
  EXPECT_EQ(parse({})->choice("to", {"auto", "never"}), "auto");
  try {
    static_cast<void>(parse({"--to=maybe"})->choice("to", {"auto", "never"}));
    FAIL();
  } catch (const base::UsageError& error) {
    EXPECT_STREQ(error.what(), "bad value 'maybe' for --to: one of auto, never is needed");
  }
}

TEST(OptionsTest, CommonOptionsSetTheStyle) {
  const base::MessageStyle before = base::message_style();
  parse({"--json", "-v"});
  EXPECT_TRUE(base::message_style().json);
  EXPECT_EQ(base::message_style().verbosity, base::Verbosity::verbose);
  base::message_style() = before;
}

TEST(OptionsTest, ACommandIsCutOffAtTheFirstDoubleDash) {
  std::string program = "tool";
  std::string id = "id";
  std::string dashes = "--";
  std::string command = "cmd";
  std::string again = "--";
  std::array<char*, 6> argv{program.data(), id.data(),    dashes.data(),
                            command.data(), again.data(), nullptr};
  int argc = 5;
  const auto words = base::split_command(argc, argv.data());
  ASSERT_TRUE(words);
  EXPECT_EQ(argc, 2);
  EXPECT_EQ(*words, (std::vector<std::string>{"cmd", "--"}));
  EXPECT_FALSE(base::split_command(argc, argv.data()));
}

}  // namespace
