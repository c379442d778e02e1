// SPDX-License-Identifier: Apache-2.0
// A tree is removed completely, at any depth and with any modes, and never across a mount.
#include "file/remove_tree.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/fd.h"
#include "tests/unit/child_process.h"
#include "tests/unit/scratch_dir.h"

namespace {

namespace fs = std::filesystem;

class RemoveTreeTest : public testing::Test {
 protected:
  void make_file(const std::string& path) const {
    fs::create_directories(fs::path(dir / path).parent_path());
    std::ofstream(dir / path) << "contents";
  }
  base::Fd open_dir() const { return base::open_file(dir.path(), O_RDONLY | O_DIRECTORY); }
  void remove(const std::string& name) const {
    file::remove_tree(open_dir().get(), name, dir / name);
  }

  const ScratchDir dir;
};

TEST_F(RemoveTreeTest, RemovesFilesAndDirectoriesAndIgnoresAbsentOnes) {
  make_file("file");
  make_file("tree/a/b/c");
  make_file("tree/a/d");
  make_file("tree/e");
  ASSERT_EQ(::mkfifo((dir / "tree/fifo").c_str(), 0600), 0);
  for (const char* name : {"file", "tree", "absent"}) {
    remove(name);
  }
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST_F(RemoveTreeTest, RemovesSymbolicLinksAndKeepsTheirTargets) {
  make_file("kept/file");
  make_file("tree/file");
  fs::create_directory_symlink(dir / "kept", dir / "tree/link");
  fs::create_symlink("nowhere", dir / "tree/dangling");
  fs::create_directory_symlink(dir / "kept", dir / "link");
  remove("tree");
  remove("link");
  EXPECT_TRUE(fs::exists(dir / "kept/file"));
  fs::remove_all(dir / "kept");
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST_F(RemoveTreeTest, ATreeOfManyLevelsNeedsFewDescriptors) {
  constexpr int kLevels = 3000;  // far more than PATH_MAX and than the limit below
  base::Fd at = open_dir();
  for (int level = 0; level < kLevels; ++level) {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0700), 0);
    at = base::open_at(at.get(), "d", O_RDONLY | O_DIRECTORY);
  }
  at.reset();
  struct rlimit old {};
  ::getrlimit(RLIMIT_NOFILE, &old);
  const struct rlimit few { .rlim_cur = 32, .rlim_max = old.rlim_max };
  ::setrlimit(RLIMIT_NOFILE, &few);
  EXPECT_NO_THROW(remove("d"));
  ::setrlimit(RLIMIT_NOFILE, &old);
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST_F(RemoveTreeTest, ADirectoryWithoutPermissionsIsEmptiedByItsOwner) {
  make_file("tree/a/b");
  ASSERT_EQ(::chmod((dir / "tree/a").c_str(), 0), 0);
  ASSERT_EQ(::chmod(dir.path().c_str(), 0777), 0);
  ASSERT_EQ(::chown((dir / "tree").c_str(), 65534, 65534), ::geteuid() == 0 ? 0 : -1);
  ASSERT_EQ(::chown((dir / "tree/a").c_str(), 65534, 65534), ::geteuid() == 0 ? 0 : -1);
  ChildProcess child([&](const auto& ready) {
    if (::geteuid() == 0 && ::setuid(65534) != 0) {
      base::throw_errno("cannot become another user");
    }
    remove("tree");
    ready();
  });
  EXPECT_TRUE(child.wait_ready());
  EXPECT_EQ(child.wait(), 0);
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST_F(RemoveTreeTest, NothingBehindAMountIsTouched) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root: mounts in a namespace of its own";
  }
  if (base::read_file("/proc/self/mountinfo", 1 << 20).find(" / / ") == std::string::npos) {
    GTEST_SKIP() << "/ is not a mount point (a chroot): its mounts cannot be made private";
  }
  make_file("kept/file");
  make_file("tree/a/file");
  make_file("tree/m/file");
  make_file("top/file");
  ChildProcess child([&](const auto& ready) {
    // Bind mounts show the same filesystem, so the device number does not distinguish them.
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount((dir / "kept").c_str(), (dir / "tree/m").c_str(), nullptr, MS_BIND, nullptr) != 0 ||
        ::mount((dir / "kept/file").c_str(), (dir / "tree/a/file").c_str(), nullptr, MS_BIND,
                nullptr) != 0 ||
        ::mount((dir / "kept").c_str(), (dir / "top").c_str(), nullptr, MS_BIND, nullptr) != 0) {
      base::throw_errno("cannot mount");
    }
    EXPECT_EQ(file::find_mount(open_dir().get(), "top", dir / "top"), dir / "top");
    EXPECT_TRUE(file::find_mount(open_dir().get(), "tree", dir / "tree"));
    EXPECT_FALSE(file::find_mount(open_dir().get(), "kept", dir / "kept"));
    EXPECT_THROW(remove("tree"), base::Refused);
    EXPECT_THROW(remove("top"), base::Refused);
    if (!testing::Test::HasFailure()) {
      ready();
    }
  });
  EXPECT_TRUE(child.wait_ready());
  EXPECT_EQ(child.wait(), 0);
  EXPECT_TRUE(fs::exists(dir / "kept/file"));
  EXPECT_TRUE(fs::exists(dir / "top/file"));
}

}  // namespace
