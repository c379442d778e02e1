// SPDX-License-Identifier: Apache-2.0
// stat(2) that throws, and the identity of files.
#include "base/file_status.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "base/fd.h"
#include "tests/unit/scratch_dir.h"

namespace {

TEST(FileStatus, LinksAreOneFileAndCopiesAreTwo) {
  const ScratchDir dir;
  base::open_file(dir / "a", O_WRONLY | O_CREAT, 0600);
  base::open_file(dir / "b", O_WRONLY | O_CREAT, 0600);
  ASSERT_EQ(::link((dir / "a").c_str(), (dir / "c").c_str()), 0);
  std::filesystem::create_symlink("a", dir / "s");
  const struct stat a = base::stat_path(dir / "a");
  EXPECT_TRUE(base::is_same_file(a, base::stat_path(dir / "c")));
  EXPECT_TRUE(base::is_same_file(a, base::stat_path(dir / "s")));
  EXPECT_FALSE(base::is_same_file(a, base::lstat_path(dir / "s")));
  EXPECT_FALSE(base::is_same_file(a, base::stat_path(dir / "b")));
  const base::Fd fd = base::open_file(dir / "a", O_RDONLY);
  EXPECT_TRUE(base::is_same_file(a, base::stat_fd(fd.get(), "a")));
}

TEST(FileStatus, AFailureNamesTheFile) {
  const ScratchDir dir;
  try {
    base::stat_path(dir / "absent");
    FAIL() << "no exception";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOENT);
    EXPECT_NE(std::string(error.what()).find("cannot stat '" + (dir / "absent") + "'"),
              std::string::npos)
        << error.what();
  }
  EXPECT_THROW(base::lstat_path(dir / "absent"), std::system_error);
  EXPECT_THROW(base::lstat_at(AT_FDCWD, dir / "absent", "absent"), std::system_error);
  EXPECT_THROW(base::stat_fd(-1, "closed"), std::system_error);
}

TEST(FileStatus, AnAbsentFileIsNothingAndOtherFailuresThrow) {
  const ScratchDir dir;
  base::open_file(dir / "a", O_WRONLY | O_CREAT, 0600);
  std::filesystem::create_symlink("absent", dir / "dangling");
  EXPECT_TRUE(base::try_stat_path(dir / "a"));
  EXPECT_FALSE(base::try_stat_path(dir / "absent"));
  EXPECT_FALSE(base::try_stat_path(dir / "dangling"));
  EXPECT_TRUE(base::try_lstat_path(dir / "dangling"));
  EXPECT_FALSE(base::try_lstat_at(AT_FDCWD, dir / "absent", "absent"));
  EXPECT_THROW(base::try_stat_path(dir / "a/below-a-file"), std::system_error);  // ENOTDIR
  EXPECT_THROW(base::try_lstat_path(dir / "a/below-a-file"), std::system_error);
}

}  // namespace
