// Command lines: what is refused, and what a value may hold.
#include "base/options.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/message.h"

namespace {

std::optional<base::ParsedOptions> parse(std::vector<std::string> words) {
  base::Options options("tool verb", "[options] FILE...", "Does it.");
  options.flag("n,now", "at once").value("size", "N", "how much").value("to", "WHERE", "where");
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

TEST(OptionsTest, WordsKeepTheirOrder) {
  const auto parsed = parse({"a", "-n", "b", "--to=x", "--now", "c", "--", "-d"});
  ASSERT_TRUE(parsed);
  std::string words;
  for (const auto& word : parsed->words()) {
    words += word.name.empty() ? word.value + " " : "<" + word.name + "> ";
  }
  EXPECT_EQ(words, "a <now> b <to> <now> c -d ");
}

TEST(OptionsTest, WrongCommandLinesAreUsageErrorsInPlainAscii) {
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"--unknown"}, {"-x"}, {"--size"}, {"--no"}, {"--now=1x"}}) {
    try {
      parse(words);
      FAIL() << words[0];
    } catch (const base::UsageError& error) {
      for (const char* c = error.what(); *c != '\0'; ++c) {
        EXPECT_GT(*c, 0) << error.what();
      }
    }
  }
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

TEST(OptionsTest, ChoicesNameWhatIsAllowed) {
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
