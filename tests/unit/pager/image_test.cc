// SPDX-License-Identifier: Apache-2.0
// Tests memory files: their holes, their identity, and the cache of open ones.
#include "pager/image/image.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/unit/pager/test_guest.h"
#include "tests/unit/scratch_dir.h"

namespace pager {
namespace {

TEST(DataMap, FindsTheHolesOfAFile) {
  const ScratchDir dir;
  write_memory_file(dir / "memory", 64, {0, 1, 2, 3, 4, 5, 6, 7, 20, 21, 22, 23, 63});
  const base::Fd fd = base::open_file(dir / "memory", O_RDONLY);
  const DataMap map = DataMap::read(fd.get(), 64 * hot::kSmallPage, "memory");
  if (map.data_bytes(0, 64 * hot::kSmallPage) == 64 * hot::kSmallPage) {
    GTEST_SKIP() << "this filesystem knows no holes";
  }
  constexpr off_t kPage = hot::kSmallPage;
  EXPECT_EQ(map.ranges(),
            (std::vector<file::ByteRange>{{8 * kPage, 20 * kPage}, {24 * kPage, 63 * kPage}}));
}

TEST(DataMap, ARangeHasDataWhereItMeetsAnExtent) {
  const DataMap map({{100, 200}, {300, 400}});
  EXPECT_FALSE(map.has_data(0, 100));
  EXPECT_TRUE(map.has_data(0, 101));
  EXPECT_TRUE(map.has_data(199, 300));
  EXPECT_FALSE(map.has_data(200, 300));
  EXPECT_TRUE(map.has_data(0, 1000));
  EXPECT_FALSE(map.has_data(400, 1000));
  EXPECT_FALSE(DataMap({}).has_data(0, 1000));
}

std::vector<std::pair<uint64_t, uint64_t>> holes_in(const DataMap& map, uint64_t start,
                                                    uint64_t end) {
  std::vector<std::pair<uint64_t, uint64_t>> holes;
  map.for_each_hole(start, end, [&](uint64_t from, uint64_t to) { holes.emplace_back(from, to); });
  return holes;
}

TEST(DataMap, NamesTheHolesOfARange) {
  using Holes = std::vector<std::pair<uint64_t, uint64_t>>;
  const DataMap map({{100, 200}, {300, 400}});
  EXPECT_EQ(holes_in(map, 0, 500), (Holes{{0, 100}, {200, 300}, {400, 500}}));
  EXPECT_EQ(holes_in(map, 150, 250), (Holes{{200, 250}}));
  EXPECT_EQ(holes_in(map, 200, 300), (Holes{{200, 300}}));
  EXPECT_EQ(holes_in(map, 100, 200), Holes());
  EXPECT_EQ(holes_in(map, 350, 500), (Holes{{400, 500}}));
  EXPECT_EQ(holes_in(DataMap({}), 10, 20), (Holes{{10, 20}}));
}

TEST(DataMap, CountsAFileOnAFilesystemThatReportsNoHolesAsData) {
  // lseek(2) on this file fails with EINVAL for SEEK_DATA.
  const base::Fd fd = base::open_file("/proc/self/status", O_RDONLY);
  const DataMap map = DataMap::read(fd.get(), 2 * hot::kSmallPage, "status");
  EXPECT_EQ(map.data_bytes(0, 2 * hot::kSmallPage), 2 * hot::kSmallPage);
}

TEST(DataMap, HandlesAnEmptyFileAndASingleHole) {
  const ScratchDir dir;
  const base::Fd fd = base::open_file(dir / "hole", O_RDWR | O_CREAT, 0600);
  EXPECT_TRUE(DataMap::read(fd.get(), 0, "hole").ranges().empty());
  ASSERT_EQ(::ftruncate(fd.get(), 1 << 20), 0);
  EXPECT_FALSE(DataMap::read(fd.get(), 1 << 20, "hole").has_data(0, 1 << 20));
}

// The error of Image::open for `path`; empty if it is accepted.
std::string refusal(const std::string& path) {
  try {
    Image::open(path);
  } catch (const base::BadData& error) {
    return error.what();
  }
  return "";
}

TEST(Image, RefusesFilesThatAreNotMemoryFiles) {
  const ScratchDir dir;
  EXPECT_THROW(Image::open(dir / "absent"), std::system_error);
  EXPECT_NE(refusal(dir.path()).find("not a regular file"), std::string::npos);
  EXPECT_NE(refusal("/dev/zero").find("not a regular file"), std::string::npos);
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_NE(refusal(dir / "fifo").find("not a regular file"), std::string::npos);
  write_memory_file(dir / "empty", 0);
  EXPECT_NE(refusal(dir / "empty").find("empty"), std::string::npos);
  write_memory_file(dir / "odd", 2);
  ASSERT_EQ(::truncate((dir / "odd").c_str(), 5000), 0);
  EXPECT_NE(refusal(dir / "odd").find("size 5000 is not a multiple of 4096"), std::string::npos);
}

TEST(Image, AShortReadIsAnErrorAndNotZeros) {
  const ScratchDir dir;
  write_memory_file(dir / "memory", 4);
  ASSERT_EQ(::chmod((dir / "memory").c_str(), 0444), 0);
  const std::shared_ptr<const Image> image = Image::open(dir / "memory");
  EXPECT_EQ(image->view(), Image::View::sealed);
  std::vector<std::byte> page(hot::kSmallPage);
  EXPECT_EQ(image->read_at(3 * hot::kSmallPage, page), 0);
  EXPECT_EQ(image->read_at(3 * hot::kSmallPage + 1, page), ENODATA);
  EXPECT_EQ(image->read_at(5 * hot::kSmallPage, page), ENODATA);
}

TEST(ImageCache, OpensAFileOnceUnderAnyName) {
  const ScratchDir dir;
  ImageCache store;
  write_memory_file(dir / "memory", 4);
  ASSERT_EQ(::chmod((dir / "memory").c_str(), 0444), 0);
  const std::shared_ptr<const Image> first = store.open(dir / "memory");
  // A hard link of a fork changes the change time, which proves nothing for a sealed file.
  ASSERT_EQ(::link((dir / "memory").c_str(), (dir / "fork").c_str()), 0);
  EXPECT_EQ(store.open(dir / "fork"), first);
  EXPECT_EQ(store.size(), 1U);
}

TEST(ImageCache, AnotherFileUnderTheSameNameIsAnotherImage) {
  const ScratchDir dir;
  ImageCache store;
  write_memory_file(dir / "memory", 4);
  std::shared_ptr<const Image> first = store.open(dir / "memory");
  write_memory_file(dir / "other", 4);
  ASSERT_EQ(::rename((dir / "other").c_str(), (dir / "memory").c_str()), 0);
  const std::shared_ptr<const Image> second = store.open(dir / "memory");
  EXPECT_NE(first, second);
  std::vector<std::byte> page(hot::kSmallPage);
  EXPECT_EQ(first->read_at(0, page), 0) << "the old image is still readable";
  EXPECT_EQ(store.size(), 2U);
  first.reset();
  EXPECT_EQ(store.size(), 1U) << "an image exists as long as it is used";
}

TEST(ImageCache, AFileThatWasWrittenToIsAnotherImage) {
  const ScratchDir dir;
  ImageCache store;
  write_memory_file(dir / "memory", 4);
  const std::shared_ptr<const Image> first = store.open(dir / "memory");
  const std::array<struct timespec, 2> later{
      {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, {.tv_sec = 5, .tv_nsec = 0}}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (dir / "memory").c_str(), later.data(), 0), 0);
  EXPECT_NE(store.open(dir / "memory"), first);
}

}  // namespace
}  // namespace pager
