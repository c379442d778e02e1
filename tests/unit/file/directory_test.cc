// SPDX-License-Identifier: Apache-2.0
// Lists and walks directories by descriptor.
#include "file/directory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/fd.h"
#include "tests/unit/scratch_dir.h"

namespace file {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

class WalkTree : public testing::Test {
 protected:
  WalkTree() {
    fs::create_directories(dir / "tree/a/b");
    fs::create_directories(dir / "outside");
    std::ofstream(dir / "tree/a/b/file") << "x";
    std::ofstream(dir / "tree/z") << "x";
    std::ofstream(dir / "outside/secret") << "x";
    fs::create_directory_symlink("../../outside", dir / "tree/a/link");
  }
  base::Fd open_tree() const { return base::open_file(dir / "tree", O_RDONLY | O_DIRECTORY); }

  ScratchDir dir;
};

TEST_F(WalkTree, VisitsADirectoryBeforeItsEntriesAndFollowsNoLink) {
  Names paths;
  walk_tree(open_tree().get(), "T", [&](int, const Entry&, const std::string& path) {
    paths.push_back(path);
    return true;
  });
  EXPECT_EQ(paths, (Names{"T/a", "T/a/b", "T/a/b/file", "T/a/link", "T/z"}));
}

TEST_F(WalkTree, EntersOnlyWhatTheVisitorWants) {
  Names paths;
  walk_tree(open_tree().get(), "T", [&](int, const Entry& entry, const std::string& path) {
    paths.push_back(path);
    return entry.name != "b";
  });
  EXPECT_EQ(paths, (Names{"T/a", "T/a/b", "T/a/link", "T/z"}));
}

// Another process may do this between the listing and the open of a directory.
TEST_F(WalkTree, SkipsADirectoryThatBecomesALinkDuringTheWalk) {
  Names paths;
  walk_tree(open_tree().get(), "T", [&](int, const Entry& entry, const std::string& path) {
    paths.push_back(path);
    if (entry.name == "b") {
      fs::remove_all(dir / "tree/a/b");
      fs::create_directory_symlink("../../outside", dir / "tree/a/b");
    }
    return true;
  });
  EXPECT_EQ(paths, (Names{"T/a", "T/a/b", "T/a/link", "T/z"}));
}

TEST_F(WalkTree, SkipsADirectoryThatIsRemovedDuringTheWalk) {
  Names paths;
  walk_tree(open_tree().get(), "T", [&](int, const Entry& entry, const std::string& path) {
    paths.push_back(path);
    if (entry.name == "a") {
      fs::remove_all(dir / "tree/a");
    }
    return true;
  });
  EXPECT_EQ(paths, (Names{"T/a", "T/z"}));
}

TEST_F(WalkTree, GivesTheDirectoryThatHasTheEntry) {
  walk_tree(open_tree().get(), "T", [&](int at, const Entry& entry, const std::string&) {
    struct stat st {};
    EXPECT_EQ(::fstatat(at, entry.name.c_str(), &st, AT_SYMLINK_NOFOLLOW), 0) << entry.name;
    EXPECT_EQ(st.st_mode & S_IFMT, entry.type) << entry.name;
    return true;
  });
}

}  // namespace
}  // namespace file
