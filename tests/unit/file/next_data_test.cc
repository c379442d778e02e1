// SPDX-License-Identifier: Apache-2.0
// Finds the data of sparse files, and of files without holes.
#include "file/next_data.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "base/fd.h"

namespace file {
namespace {

constexpr off_t kBlock = 4096;
using Ranges = std::vector<ByteRange>;

// A file of 100 blocks on tmpfs, which reports holes. Each of `blocks` has data.
base::Fd make_file(const std::vector<off_t>& blocks) {
  base::Fd fd(::memfd_create("next_data_test", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(fd.get(), 100 * kBlock), 0);
  for (const off_t block : blocks) {
    base::pwrite_full(fd.get(), std::vector<std::byte>(kBlock, std::byte{1}), block * kBlock, "f");
  }
  return fd;
}

TEST(ListData, JoinsRangesThatTouch) {
  const base::Fd fd = make_file({2, 3, 4, 10, 99});
  EXPECT_EQ(
      list_data(fd.get(), 100 * kBlock, "f"),
      (Ranges{{2 * kBlock, 5 * kBlock}, {10 * kBlock, 11 * kBlock}, {99 * kBlock, 100 * kBlock}}));
}

TEST(ListData, CutsAtTheSize) {
  const base::Fd fd = make_file({2, 10});
  EXPECT_EQ(list_data(fd.get(), 2 * kBlock + 1, "f"), (Ranges{{2 * kBlock, 2 * kBlock + 1}}));
  EXPECT_EQ(list_data(fd.get(), 0, "f"), Ranges());
}

TEST(ListData, CountsTheRestAsDataAboveTheLimit) {
  const base::Fd fd = make_file({2, 10, 20, 30});
  EXPECT_EQ(list_data(fd.get(), 100 * kBlock, "f", 2),
            (Ranges{{2 * kBlock, 3 * kBlock}, {10 * kBlock, 100 * kBlock}}));
  EXPECT_EQ(list_data(fd.get(), 100 * kBlock, "f", 1), (Ranges{{2 * kBlock, 100 * kBlock}}));
}

TEST(ListData, FindsNothingBeyondTheEndOfATruncatedFile) {
  const base::Fd fd = make_file({2});
  ASSERT_EQ(::ftruncate(fd.get(), 3 * kBlock), 0);
  EXPECT_EQ(list_data(fd.get(), 100 * kBlock, "f"), (Ranges{{2 * kBlock, 3 * kBlock}}));
}

// lseek(2) on a file of /proc fails with EINVAL for SEEK_DATA, as on a filesystem without holes.
TEST(ListData, CountsAFileWithoutHolesAsData) {
  const base::Fd fd = base::open_file("/proc/self/status", O_RDONLY);
  ASSERT_EQ(::lseek(fd.get(), 0, SEEK_DATA), -1);
  EXPECT_EQ(list_data(fd.get(), 10 * kBlock, "status"), (Ranges{{0, 10 * kBlock}}));
  EXPECT_EQ(next_data(fd.get(), kBlock, 10 * kBlock, "status"), (ByteRange{kBlock, 10 * kBlock}));
}

}  // namespace
}  // namespace file
