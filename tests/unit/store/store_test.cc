// SPDX-License-Identifier: Apache-2.0
// The store: valid ids, paths, and a layout on one filesystem.
#include "store/store.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "tests/unit/child_process.h"
#include "tests/unit/scratch_dir.h"

namespace {

using store::Store;

unsigned mode_of(const std::string& path) {
  struct stat st {};
  EXPECT_EQ(::stat(path.c_str(), &st), 0) << path;
  return st.st_mode & 07777U;
}

TEST(StoreTest, AnIdIsOneHarmlessPathComponent) {
  for (const std::string& id : {std::string("a"), std::string("0"), std::string("Web-1.2_x"),
                                std::string("guard"), std::string(64, 'z')}) {
    EXPECT_TRUE(store::is_valid_id(id)) << id;
    EXPECT_NO_THROW(store::check_id(id));
  }
  for (const std::string& id :
       {std::string(), std::string("."), std::string(".."), std::string(".hidden"),
        std::string("-x"), std::string("_x"), std::string("a/b"), std::string("/"),
        std::string("a b"), std::string("a\n"), std::string("a\0b", 3), std::string("\xc3\xa9"),
        std::string(65, 'z'), std::string(300, 'z')}) {
    EXPECT_FALSE(store::is_valid_id(id)) << id;
    EXPECT_THROW(store::check_id(id), base::UsageError) << id;
  }
}

TEST(StoreTest, ABadIdIsQuotedInPart) {
  try {
    store::check_id(std::string(300, 'z'));
    FAIL();
  } catch (const base::UsageError& error) {
    EXPECT_LT(std::string(error.what()).size(), 130U);
    EXPECT_NE(std::string(error.what()).find("longer than 64"), std::string::npos);
  }
}

TEST(StoreTest, TheRootComesFromTheEnvironment) {
  ::setenv("SNAPFORK_ROOT", "/srv/vm//", 1);
  EXPECT_EQ(Store::from_environment().root(), "/srv/vm");
  ::setenv("SNAPFORK_ROOT", "", 1);
  EXPECT_EQ(Store::from_environment().root(), "/var/lib/snapfork");
  ::unsetenv("SNAPFORK_ROOT");
  EXPECT_EQ(Store::from_environment().root(), "/var/lib/snapfork");
  EXPECT_EQ(Store("/").root(), "/");
}

TEST(StoreTest, PathsAreThoseOfTheContract) {
  const Store store("/r");
  EXPECT_EQ(store.metadata_path("a"), "/r/guests/a/metadata.json");
  EXPECT_EQ(store.state_path("a"), "/r/guests/a/snapshots/snapshot-latest/state");
  EXPECT_EQ(store.memory_path("a"), "/r/guests/a/snapshots/snapshot-latest/memory");
  EXPECT_EQ(store.fork_index_dir("a"), "/r/guests/a/template/forks");
  EXPECT_EQ(store.locks_dir(), "/r/.snapfork/locks");
  EXPECT_EQ(store.tmp_dir(), "/r/.snapfork/tmp");
  EXPECT_EQ(store.trash_dir(), "/r/.snapfork/trash");
}

TEST(StoreTest, TheLayoutIsPrivateAndCreatedOnce) {
  const ScratchDir dir;
  const Store store(dir.path());
  store.create_layout();
  store.create_layout();
  EXPECT_EQ(mode_of(store.locks_dir()), 0700U);
  EXPECT_EQ(mode_of(store.tmp_dir()), 0700U);
  EXPECT_EQ(mode_of(store.trash_dir()), 0700U);
  EXPECT_EQ(mode_of(store.guests_dir()), 0700U);
}

TEST(StoreTest, TheLayoutIsNotCreatedThroughASymbolicLink) {
  for (const std::string name :
       {"guests", ".snapfork", ".snapfork/locks", ".snapfork/tmp", ".snapfork/trash"}) {
    const ScratchDir dir;
    std::filesystem::create_directories(dir / "elsewhere");
    std::filesystem::create_directories(dir / "root");
    const Store store(dir / "root");
    if (name.find('/') != std::string::npos) {
      std::filesystem::create_directory(store.root() + "/.snapfork");
    }
    std::filesystem::create_directory_symlink(dir / "elsewhere", store.root() + "/" + name);
    EXPECT_THROW(store.create_layout(), base::BadData) << name;
    EXPECT_TRUE(std::filesystem::is_empty(dir / "elsewhere")) << name;
  }
}

TEST(StoreTest, APathBelowTheRootIsOpenedWithoutFollowingALink) {
  const ScratchDir dir;
  std::filesystem::create_directories(dir / "root/guests/a");
  std::filesystem::create_directory_symlink(dir / "root", dir / "link");
  std::filesystem::create_directory_symlink(dir / "root/guests/a", dir / "root/guests/b");
  const Store store(dir / "link");  // the root itself may be reached through one
  EXPECT_TRUE(store.try_open_below(store.guest_dir("a"), O_PATH));
  EXPECT_FALSE(store.try_open_below(store.guest_dir("c"), O_PATH));
  EXPECT_THROW(store.try_open_below(store.guest_dir("b"), O_PATH), base::BadData);
  EXPECT_THROW(store.open_below(store.guest_dir("b") + "/x", O_WRONLY | O_CREAT, 0600),
               base::BadData);
  EXPECT_TRUE(std::filesystem::is_empty(dir / "root/guests/a"));
}

TEST(StoreTest, AnAbsentRootIsReportedAndNotCreated) {
  const ScratchDir dir;
  const Store store(dir / "absent");
  try {
    store.create_layout();
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOENT);
    EXPECT_NE(std::string(error.what()).find(store.root()), std::string::npos);
  }
  EXPECT_FALSE(std::filesystem::exists(store.root()));
  base::Fd(base::open_file(dir / "file", O_WRONLY | O_CREAT, 0600)).reset();
  EXPECT_THROW(Store(dir / "file").require_root(), std::system_error);
}

TEST(StoreTest, TwoFilesystemsInOneStoreAreUnsupported) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root: mounts in a namespace of its own";
  }
  if (base::read_file("/proc/self/mountinfo", 1 << 20).find(" / / ") == std::string::npos) {
    GTEST_SKIP() << "/ is not a mount point (a chroot): its mounts cannot be made private";
  }
  const ScratchDir dir;
  const Store store(dir.path());
  store.create_layout();
  ChildProcess child([&](const auto& ready) {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", store.tmp_dir().c_str(), "tmpfs", 0, nullptr) != 0) {
      base::throw_errno("cannot mount");
    }
    try {
      store.create_layout();
    } catch (const base::Unsupported&) {
      ready();
    }
  });
  EXPECT_TRUE(child.wait_ready());
  EXPECT_EQ(child.wait(), 0);
}

TEST(StoreTest, MakeDirsTakesRelativeAndAbsolutePaths) {
  const ScratchDir dir;
  store::make_dirs(dir / "x/y/z", 0700);
  EXPECT_TRUE(std::filesystem::is_directory(dir / "x/y/z"));
  const std::filesystem::path old = std::filesystem::current_path();
  std::filesystem::current_path(dir.path());
  store::make_dirs("a/b", 0700);
  std::filesystem::current_path(old);
  EXPECT_TRUE(std::filesystem::is_directory(dir / "a/b"));
  EXPECT_THROW(store::make_dirs("/dev/null/x", 0700), std::system_error);
}

}  // namespace
