// SPDX-License-Identifier: Apache-2.0
// Session names: one for each directory, independent of the name of the guest.
#include "store/session_name.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <regex>
#include <set>

#include "tests/unit/scratch_dir.h"

namespace {

using store::session_name;

TEST(SessionName, IsTheIdAndEightDigitsOfDeviceAndInode) {
  struct stat st {};
  st.st_dev = 0x1234;
  st.st_ino = 0x56789abcdef;
  const std::string name = session_name("web-1", st);
  EXPECT_EQ(name, "web-1@69e04a93");
  EXPECT_EQ(name.size(), 5 + store::kSessionSuffixBytes);
}

TEST(SessionName, DiffersByDeviceAndByInode) {
  std::set<std::string> names;
  for (const dev_t device : {dev_t{0}, dev_t{1}, dev_t{256}}) {
    for (const ino_t inode : {ino_t{0}, ino_t{1}, ino_t{2}, ino_t{256}, ino_t{257}, ino_t{65536}}) {
      struct stat st {};
      st.st_dev = device;
      st.st_ino = inode;
      names.insert(session_name("a", st));
    }
  }
  EXPECT_EQ(names.size(), 18U);
}

TEST(SessionName, StaysWhenTheDirectoryIsRenamed) {
  const ScratchDir dir;
  std::filesystem::create_directory(dir / "fork.a");
  std::filesystem::create_directory(dir / "other");
  const std::string before = session_name("a", dir / "fork.a");
  std::filesystem::rename(dir / "fork.a", dir / "a");
  EXPECT_EQ(session_name("a", dir / "a"), before);
  EXPECT_NE(session_name("a", dir / "other"), before);
  EXPECT_TRUE(std::regex_match(before, std::regex("a@[0-9a-f]{8}")));
}

TEST(SessionName, IsRefusedForALinkAndForAFile) {
  const ScratchDir dir;
  std::filesystem::create_directory(dir / "a");
  std::filesystem::create_symlink("a", dir / "link");
  EXPECT_THROW(session_name("link", dir / "link"), std::system_error);
  EXPECT_THROW(session_name("none", dir / "none"), std::system_error);
}

}  // namespace
