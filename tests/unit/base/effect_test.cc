// SPDX-License-Identifier: Apache-2.0
// Tests the option --dry-run.
#include "base/effect.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>

namespace base {
namespace {

Effect effect_of_command(bool with_option) {
  Options options("prog", "[OPTION]...", "Test.");
  add_dry_run(options);
  std::array words{const_cast<char*>("prog"), const_cast<char*>("--dry-run")};
  return effect_of(options.parse(with_option ? 2 : 1, words.data()).value());
}

TEST(Effect, IsRealWithoutDryRun) {
  EXPECT_EQ(effect_of_command(false), Effect::real);
  EXPECT_FALSE(is_dry_run(effect_of_command(false)));
}

TEST(Effect, IsDryRunWithTheOption) {
  EXPECT_EQ(effect_of_command(true), Effect::dry_run);
  EXPECT_TRUE(is_dry_run(effect_of_command(true)));
}

}  // namespace
}  // namespace base
