// SPDX-License-Identifier: Apache-2.0
// The reasons for EXDEV, and the names of filesystems.
#include "file/cross_device.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/fd.h"

namespace file {
namespace {

TEST(CrossDevice, DirectoriesOfTwoFilesystems) {
  EXPECT_EQ(cross_device_reason("/proc", "/sys"), "they are on different filesystems");
}

TEST(CrossDevice, ASymlinkIsNotFollowed) {
  EXPECT_EQ(cross_device_reason("/proc/self", "/proc"),
            "they are on different filesystems, mount points or subvolumes");
}

TEST(CrossDevice, AnOPathDescriptorIsSufficient) {
  const base::Fd proc = base::open_file("/proc", O_PATH);
  const base::Fd sys = base::open_file("/sys", O_PATH);
  EXPECT_EQ(cross_device_reason(proc.get(), sys.get()), "they are on different filesystems");
}

TEST(FilesystemName, AnUnknownOneIsDescribed) {
  const base::Fd proc = base::open_file("/proc", O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(filesystem_name(proc.get()), "this filesystem");
}

}  // namespace
}  // namespace file
