// SPDX-License-Identifier: Apache-2.0
// Tests when a state that was read in advance is still that of its guest.
#include "meta/flows/source_state.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/unit/meta/fake_guest.h"
#include "tests/unit/meta/vmstate_writer.h"
#include "tests/unit/scratch_dir.h"

namespace {

namespace fs = std::filesystem;

class SourceStateTest : public ::testing::Test {
 protected:
  SourceStateTest() : store_(scratch_.path() + "/store"), path_(store_.state_path("a")) {
    fs::create_directories(fs::path(path_).parent_path());
    write_text(path_, make_state({.drives = {"/srv/root.img"}}));
  }

  // Reads it once the clock of the file times has gone on.
  meta::SourceState read_settled() const {
    meta::SourceState state = meta::read_source_state(store_, "a");
    while (!state.is_settled) {
      state = meta::read_source_state(store_, "a");
    }
    return state;
  }

  ScratchDir scratch_;
  store::Store store_;
  std::string path_;
};

TEST_F(SourceStateTest, IsCurrentWhileNothingWritesIt) {
  const meta::SourceState state = read_settled();
  EXPECT_EQ(state.bytes, make_state({.drives = {"/srv/root.img"}}));
  EXPECT_EQ(state.vmstate.paths.size(), 1);
  EXPECT_TRUE(meta::is_current(state));
  EXPECT_TRUE(meta::is_current(state));
}

// The next write might have the same change time.
TEST_F(SourceStateTest, IsNotCurrentIfItWasReadInTheTickOfItsLastWrite) {
  meta::SourceState state = read_settled();
  state.is_settled = false;
  EXPECT_FALSE(meta::is_current(state));
}

TEST_F(SourceStateTest, IsNotCurrentAfterAWriteThatSetsSizeAndTimeBack) {
  const meta::SourceState state = read_settled();
  const fs::file_time_type time = fs::last_write_time(path_);
  write_text(path_, make_state({.drives = {"/srv/root.img"}}));
  fs::last_write_time(path_, time);
  EXPECT_FALSE(meta::is_current(state));
}

TEST_F(SourceStateTest, IsNotCurrentIfAnotherFileHasItsName) {
  const meta::SourceState state = read_settled();
  write_text(path_ + ".new", make_state({.drives = {"/srv/root.img"}}));
  fs::rename(path_ + ".new", path_);
  EXPECT_FALSE(meta::is_current(state));
}

TEST_F(SourceStateTest, IsNotCurrentIfItIsRemovedOrALink) {
  const meta::SourceState state = read_settled();
  fs::rename(path_, path_ + ".old");
  EXPECT_FALSE(meta::is_current(state));
  fs::create_symlink(path_ + ".old", path_);
  EXPECT_FALSE(meta::is_current(state));
}

TEST_F(SourceStateTest, OneThatCannotBeReadIsNothing) {
  write_text(path_, "no state");
  EXPECT_FALSE(meta::try_read_source_state(store_, "a"));
  fs::remove(path_);
  EXPECT_FALSE(meta::try_read_source_state(store_, "a"));
  EXPECT_ANY_THROW(meta::read_source_state(store_, "a"));
}

}  // namespace
