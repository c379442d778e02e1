// SPDX-License-Identifier: Apache-2.0
// Tests where the page server's sockets are if no option names them.
#include "store/run_dir.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace {

class RunDir : public testing::Test {
 protected:
  void TearDown() override {
    if (before_) {
      ::setenv("SNAPFORK_PAGER", before_->c_str(), 1);
    } else {
      ::unsetenv("SNAPFORK_PAGER");
    }
  }

 private:
  std::optional<std::string> before_ =
      std::getenv("SNAPFORK_PAGER") != nullptr
          ? std::optional<std::string>(std::getenv("SNAPFORK_PAGER"))
          : std::nullopt;
};

TEST_F(RunDir, TheSessionsAreBesideTheControlSocketOfTheEnvironment) {
  ::setenv("SNAPFORK_PAGER", "/a/b/c.sock", 1);
  EXPECT_EQ(store::find_control_socket(), "/a/b/c.sock");
  EXPECT_EQ(store::find_socket_dir(), "/a/b/s");
  EXPECT_EQ(store::default_socket_dir(), "/a/b/s");
}

TEST_F(RunDir, ARelativePathIsBelowTheWorkingDirectory) {
  EXPECT_EQ(store::socket_dir_of("c.sock"), (std::filesystem::current_path() / "s").string());
  EXPECT_EQ(store::socket_dir_of("d/c.sock"), (std::filesystem::current_path() / "d/s").string());
}

TEST_F(RunDir, RootUsesRun) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  ::setenv("SNAPFORK_PAGER", "", 1);
  EXPECT_EQ(store::find_control_socket(), "/run/snapfork/pager.sock");
  EXPECT_EQ(store::find_socket_dir(), "/run/snapfork/s");
}

}  // namespace
