// Tests of base/fs_probe.h on mounts that every machine has.
#include "base/fs_probe.h"

#include <gtest/gtest.h>

#include <system_error>

#include "base/error.h"

namespace base {
namespace {

// Not installed: a fact of the machine, which the program states with exit status 3.
std::optional<FilesystemInfo> probe_if_possible(const std::string& path) {
  try {
    return probe_filesystem(path);
  } catch (const Unsupported&) {
    return std::nullopt;
  }
}

TEST(FsProbe, NamesTypeAndMountPoint) {
  const std::optional<FilesystemInfo> info = probe_if_possible("/proc/self/status");
  if (!info) {
    GTEST_SKIP() << "needs libmount and Linux 5.8";
  }
  EXPECT_EQ(info->type, "proc");
  EXPECT_EQ(info->mount_point, "/proc");
  EXPECT_FALSE(info->uuid.has_value());
}

TEST(FsProbe, TellsFreeSpace) {
  const std::optional<FilesystemInfo> info = probe_if_possible("/");
  if (!info) {
    GTEST_SKIP() << "needs libmount and Linux 5.8";
  }
  EXPECT_EQ(info->mount_point, "/");
  EXPECT_GT(info->free_bytes, 0);
}

TEST(FsProbe, AnAbsentPathIsAFailureThatNamesIt) {
  try {
    probe_filesystem("/no/such/path");
    FAIL() << "nothing thrown";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOENT);
    EXPECT_NE(std::string(error.what()).find("/no/such/path"), std::string::npos);
  }
}

}  // namespace
}  // namespace base
