// SPDX-License-Identifier: Apache-2.0
// Tests of clone/filesystem.h on mounts that every machine has.
#include "clone/filesystem.h"

#include <gtest/gtest.h>

#include <system_error>

#include "base/error.h"

namespace cloning {
namespace {

// Nothing before Linux 5.8; the program then exits with status 3.
std::optional<FilesystemInfo> filesystem_if_possible(const std::string& path) {
  try {
    return filesystem_of(path);
  } catch (const base::Unsupported&) {
    return std::nullopt;
  }
}

TEST(Filesystem, NamesTypeAndMountPoint) {
  const std::optional<FilesystemInfo> info = filesystem_if_possible("/proc/self/status");
  if (!info) {
    GTEST_SKIP() << "needs Linux 5.8";
  }
  EXPECT_EQ(info->type, "proc");
  EXPECT_EQ(info->mount_point, "/proc");
  EXPECT_FALSE(info->uuid.has_value());
}

TEST(Filesystem, ReportsFreeSpace) {
  const std::optional<FilesystemInfo> info = filesystem_if_possible("/");
  if (!info) {
    GTEST_SKIP() << "needs Linux 5.8";
  }
  EXPECT_EQ(info->mount_point, "/");
  EXPECT_GT(info->free_bytes, 0);
}

TEST(Filesystem, AnAbsentPathIsAFailureThatNamesIt) {
  try {
    filesystem_of("/no/such/path");
    FAIL() << "nothing thrown";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOENT);
    EXPECT_NE(std::string(error.what()).find("/no/such/path"), std::string::npos);
  }
}

}  // namespace
}  // namespace cloning
