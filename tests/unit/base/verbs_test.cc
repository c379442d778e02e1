// SPDX-License-Identifier: Apache-2.0
// Selecting a verb by the first argument.
#include "base/verbs.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/message.h"

namespace base {
namespace {

int count_words(int argc, char** /*argv*/) {
  return argc;
}
int first_letter(int /*argc*/, char** argv) {
  return argv[0][0];
}
constexpr std::array kVerbs{Verb{"count", count_words}, Verb{"first", first_letter}};

int run(std::vector<std::string> words) {
  words.insert(words.begin(), "tool");
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  Options program("tool", "VERB", "Does it.");
  return run_verb(kVerbs, program, static_cast<int>(words.size()), argv.data());
}

std::string problem(const std::vector<std::string>& words) {
  try {
    run(words);
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

TEST(VerbsTest, RunsTheVerbWithItsArguments) {
  EXPECT_EQ(run({"count", "a", "--b"}), 3);
  EXPECT_EQ(run({"first", "count"}), 'f');
}

TEST(VerbsTest, RefusesAMissingOrUnknownVerbAndOneAfterAnOption) {
  const MessageStyle before = message_style();
  EXPECT_EQ(problem({}), "a verb is missing");
  EXPECT_EQ(problem({"coun", "--unknown"}), "unknown verb 'coun'");
  EXPECT_EQ(problem({"--quiet", "count"}), "the verb must be the first argument");
  message_style() = before;
}

}  // namespace
}  // namespace base
