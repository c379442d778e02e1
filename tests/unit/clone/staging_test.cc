// SPDX-License-Identifier: Apache-2.0
// Tests of clone/staging.h: when an entry is visible, and which leftovers are removed.
#include "clone/staging.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/error.h"
#include "tests/unit/scratch_dir.h"

namespace cloning {
namespace {

namespace fs = std::filesystem;

class StagingTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return dir_ / name; }
  std::set<std::string> names() const {
    std::set<std::string> found;
    for (const fs::directory_entry& entry : fs::directory_iterator(dir_.path())) {
      found.insert(entry.path().filename());
    }
    return found;
  }
  static void write(const std::string& file, const std::string& text) {
    std::ofstream(file) << text;
  }
  static std::string read(const std::string& file) {
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

 private:
  ScratchDir dir_;
};

using Names = std::set<std::string>;

TEST_F(StagingTest, ADestinationIsAParentAndAName) {
  const Destination destination(path("new") + "///");
  EXPECT_EQ(destination.name(), "new");
  EXPECT_EQ(destination.path(), path("new"));
  EXPECT_EQ(destination.temporary(), ".new.snapfork-tmp");
  EXPECT_THROW(Destination(""), base::UsageError);
  EXPECT_THROW(Destination("/"), base::UsageError);
  EXPECT_THROW(Destination(path("..")), base::UsageError);
  EXPECT_THROW(Destination(path(".")), base::UsageError);
  EXPECT_THROW(Destination(path("absent/new")), std::system_error);
}

TEST_F(StagingTest, ATakenNameIsRefusedEvenForADanglingSymlink) {
  fs::create_symlink("nowhere", path("link"));
  EXPECT_THROW(Destination(path("link")).require_free(), base::Refused);
  EXPECT_NO_THROW(Destination(path("new")).require_free());
}

TEST_F(StagingTest, ADestinationKnowsWhetherItIsBelowADirectory) {
  fs::create_directories(path("a/b/c"));
  const base::Fd a = base::open_file(path("a"), O_RDONLY | O_DIRECTORY);
  EXPECT_TRUE(Destination(path("a/new")).is_inside(a.get()));
  EXPECT_TRUE(Destination(path("a/b/c/new")).is_inside(a.get()));
  EXPECT_FALSE(Destination(path("new")).is_inside(a.get()));
}

TEST_F(StagingTest, AFileAppearsWhenItIsPublished) {
  const Destination destination(path("new"));
  {
    StagedFile file(destination);
    base::write_full(file.fd(), "text", "new");
    EXPECT_EQ(names(), Names{});
    file.publish(base::Durable::no);
    EXPECT_EQ(names(), Names{"new"});
  }
  EXPECT_EQ(read(path("new")), "text");
}

TEST_F(StagingTest, AnUnpublishedFileIsRemoved) {
  { const StagedFile file(Destination(path("new"))); }
  EXPECT_EQ(names(), Names{});
}

TEST_F(StagingTest, PublishingAFileNeverReplacesAnEntry) {
  const Destination destination(path("new"));
  StagedFile file(destination);
  write(path("new"), "theirs");
  EXPECT_THROW(file.publish(base::Durable::no), base::Refused);
  EXPECT_EQ(read(path("new")), "theirs");
}

TEST_F(StagingTest, ReplacingLeavesOneFile) {
  write(path("old"), "old");
  const Destination destination(path("old"));
  StagedFile file(destination);
  base::write_full(file.fd(), "new", "old");
  EXPECT_EQ(read(path("old")), "old");
  file.replace(base::Durable::yes);
  EXPECT_EQ(read(path("old")), "new");
  EXPECT_EQ(names(), Names{"old"});
}

TEST_F(StagingTest, AnUnexpectedEntryIsPutBack) {
  write(path("old"), "old");
  const Destination destination(path("old"));
  {
    StagedFile file(destination);
    base::write_full(file.fd(), "new", "old");
    EXPECT_THROW(file.replace_if([](const struct stat&) { return false; }, "no", base::Durable::no),
                 base::Refused);
  }
  EXPECT_EQ(read(path("old")), "old");
  EXPECT_EQ(names(), Names{"old"});
  StagedFile file(destination);
  base::write_full(file.fd(), "new", "old");
  file.replace_if([](const struct stat& old) { return old.st_size == 3; }, "no", base::Durable::no);
  EXPECT_EQ(read(path("old")), "new");
  EXPECT_EQ(names(), Names{"old"});
}

TEST_F(StagingTest, ADirectoryReplacesAnother) {
  fs::create_directories(path("old/deep"));
  const Destination destination(path("old"));
  StagedDirectory directory(destination);
  EXPECT_EQ(::mkdirat(directory.fd(), "child", 0700), 0);
  directory.replace(base::Durable::yes);
  EXPECT_EQ(names(), Names{"old"});
  EXPECT_TRUE(fs::is_directory(path("old/child")));
  EXPECT_FALSE(fs::exists(path("old/deep")));
}

TEST_F(StagingTest, ADirectoryAppearsWhenItIsPublished) {
  const Destination destination(path("new"));
  StagedDirectory directory(destination);
  EXPECT_EQ(names(), Names{".new.snapfork-tmp"});
  EXPECT_EQ(::mkdirat(directory.fd(), "child", 0700), 0);
  directory.publish(base::Durable::yes);
  EXPECT_EQ(names(), Names{"new"});
  EXPECT_TRUE(fs::is_directory(path("new/child")));
}

TEST_F(StagingTest, AnUnpublishedDirectoryIsRemovedWithAllInIt) {
  {
    const Destination destination(path("new"));
    const StagedDirectory directory(destination);
    ASSERT_EQ(::mkdirat(directory.fd(), "child", 0700), 0);
    ASSERT_EQ(::mkdirat(directory.fd(), "child/grandchild", 0500), 0);
    ASSERT_EQ(::symlinkat("/", directory.fd(), "link"), 0);
  }
  EXPECT_EQ(names(), Names{});
}

TEST_F(StagingTest, PublishingADirectoryNeverReplacesAnEntry) {
  const Destination destination(path("new"));
  StagedDirectory directory(destination);
  fs::create_directory(path("new"));  // even an empty one, which plain rename(2) would replace
  EXPECT_THROW(directory.publish(base::Durable::no), base::Refused);
}

TEST_F(StagingTest, ALeftoverIsRemoved) {
  fs::create_directories(path(".new.snapfork-tmp/deep/down"));
  write(path(".new.snapfork-tmp/deep/file"), "text");
  write(path(".other.snapfork-tmp"), "text");
  { const StagedFile file(Destination(path("new"))); }
  EXPECT_EQ(names(), Names{".other.snapfork-tmp"});
}

TEST_F(StagingTest, TheTemporaryOfARunningProcessIsKept) {
  const Destination destination(path("new"));
  const StagedDirectory living(destination);
  EXPECT_THROW(StagedDirectory{destination}, base::Refused);
  EXPECT_THROW(StagedFile{destination}, base::Refused);
  EXPECT_EQ(names(), Names{".new.snapfork-tmp"});
}

TEST_F(StagingTest, TheLongestNameHasATemporaryOfItsOwn) {
  const std::string long_name(NAME_MAX, 'n');
  const std::string other = long_name.substr(1) + "m";
  EXPECT_LE(base::temporary_name(long_name).size(), static_cast<size_t>(NAME_MAX));
  EXPECT_NE(base::temporary_name(long_name), base::temporary_name(other));
  EXPECT_TRUE(base::is_temporary_name(base::temporary_name(long_name)));
  const Destination destination(path(long_name));
  StagedDirectory directory(destination);
  directory.publish(base::Durable::no);
  EXPECT_EQ(names(), Names{long_name});
}

}  // namespace
}  // namespace cloning
