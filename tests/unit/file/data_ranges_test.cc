// SPDX-License-Identifier: Apache-2.0
// Tests of file/data_ranges.h and clone/sparse_copy.h.
#include "file/data_ranges.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "clone/progress.h"
#include "clone/sparse_copy.h"
#include "file/extents.h"
#include "file/zero_runs.h"

namespace file {
namespace {

constexpr off_t kMiB = 1 << 20;

// A file in memory: tmpfs has holes everywhere the tests run.
base::Fd make_file(off_t size) {
  base::Fd fd(::memfd_create("data_ranges_test", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(fd.get(), size), 0);
  return fd;
}

void fill(int fd, off_t at, size_t length, char with) {
  const std::vector<std::byte> data(length, static_cast<std::byte>(with));
  base::pwrite_full(fd, data, at, "test file");
}

struct stat stat_of(int fd) {
  struct stat st {};
  EXPECT_EQ(::fstat(fd, &st), 0);
  return st;
}

std::string contents_of(int fd) {
  std::string text(static_cast<size_t>(stat_of(fd).st_size), '\0');
  EXPECT_EQ(base::pread_full(fd, std::as_writable_bytes(std::span(text)), 0, "test file"),
            text.size());
  return text;
}

TEST(DataRanges, FindsDataBetweenHoles) {
  const base::Fd file = make_file(8 * kMiB);
  fill(file.get(), 2 * kMiB, kMiB, 'a');
  fill(file.get(), 5 * kMiB, kMiB, 'b');
  const std::optional<ByteRange> first = next_data(file.get(), 0, 8 * kMiB, "f");
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->begin, 2 * kMiB);
  EXPECT_EQ(first->end, 3 * kMiB);
  const std::optional<ByteRange> second = next_data(file.get(), first->end, 8 * kMiB, "f");
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->begin, 5 * kMiB);
  EXPECT_EQ(second->end, 6 * kMiB);
  EXPECT_FALSE(next_data(file.get(), second->end, 8 * kMiB, "f").has_value());
}

TEST(DataRanges, AnEmptyFileAndAHoleHaveNoData) {
  EXPECT_FALSE(next_data(make_file(0).get(), 0, 0, "f").has_value());
  EXPECT_FALSE(next_data(make_file(kMiB).get(), 0, kMiB, "f").has_value());
}

TEST(DataRanges, DataIsCutAtTheGivenSize) {
  const base::Fd file = make_file(0);
  fill(file.get(), 0, 3 * kMiB, 'a');
  const std::optional<ByteRange> range = next_data(file.get(), 0, kMiB + 5, "f");
  ASSERT_TRUE(range.has_value());
  EXPECT_EQ(range->end, kMiB + 5);
}

TEST(PiecesOf, AreCutAtMultiplesAndGoOnWhereTheyEnded) {
  const NextRange next = [](off_t from) -> std::optional<ByteRange> {
    return from < 3 * kMiB
               ? std::optional(ByteRange{.begin = std::max<off_t>(from, kMiB / 2), .end = 3 * kMiB})
               : std::nullopt;
  };
  const std::vector<ByteRange> first = pieces_of(next, 0, kMiB, 2);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0].begin, kMiB / 2);
  EXPECT_EQ(first[0].end, kMiB);
  EXPECT_EQ(first[1].end, 2 * kMiB);
  const std::vector<ByteRange> rest = pieces_of(next, first[1].end, kMiB, 2);
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].end, 3 * kMiB);
  EXPECT_TRUE(pieces_of(next, rest[0].end, kMiB, 2).empty());
}

TEST(PiecesOf, AnExabyteTakesNoMoreMemoryThanAGigabyte) {
  constexpr off_t kExabyte = off_t{1} << 60;
  const NextRange all = [](off_t from) { return ByteRange{.begin = from, .end = kExabyte}; };
  EXPECT_EQ(pieces_of(all, 0, kMiB).size(), kMostPieces);
}

TEST(DigHoles, NothingIsPunchedOnceTheFileMayHaveChanged) {
  const base::Fd file = make_file(0);
  fill(file.get(), 0, kMiB, '\0');
  const std::vector<ByteRange> holes{{.begin = 0, .end = kMiB}};
  const blkcnt_t blocks = stat_of(file.get()).st_blocks;
  EXPECT_THROW(
      cloning::dig_holes(file.get(), holes, kMiB, "file", [] { throw base::Refused("changed"); }),
      base::Refused);
  EXPECT_EQ(stat_of(file.get()).st_blocks, blocks);
}

TEST(SurveyExtents, ReturnsNothingIfTheFilesystemHasNoFiemap) {
  EXPECT_FALSE(survey_extents(make_file(kMiB).get(), kMiB, Flush::no, "f").has_value());
}

TEST(SparseCopy, KeepsHolesAndContents) {
  const base::Fd src = make_file(64 * kMiB + 13);
  fill(src.get(), 7 * kMiB, kMiB + 4096, 'a');
  fill(src.get(), 64 * kMiB, 13, 'z');
  const base::Fd dst = make_file(0);
  cloning::Progress progress;
  const cloning::CopyResult result = cloning::sparse_copy(
      src.get(), stat_of(src.get()), dst.get(), {cloning::Zeros::keep, 1, progress}, "src", "dst");
  EXPECT_EQ(contents_of(dst.get()), contents_of(src.get()));
  EXPECT_EQ(stat_of(dst.get()).st_blocks, stat_of(src.get()).st_blocks);
  EXPECT_EQ(result.copied, kMiB + 4096 + 13);
  EXPECT_EQ(result.dug, 0);
}

TEST(SparseCopy, ZerosStayDataUnlessTheyAreToBeDug) {
  const base::Fd src = make_file(0);
  fill(src.get(), 0, 3 * kMiB, '\0');
  fill(src.get(), kMiB, kHoleBlock, 'a');
  cloning::Progress progress;
  const base::Fd same = make_file(0);
  EXPECT_EQ(cloning::sparse_copy(src.get(), stat_of(src.get()), same.get(),
                                 {cloning::Zeros::keep, 1, progress}, "s", "d")
                .copied,
            3 * kMiB);
  EXPECT_EQ(stat_of(same.get()).st_blocks, stat_of(src.get()).st_blocks);
  const base::Fd dug = make_file(0);
  const cloning::CopyResult result = cloning::sparse_copy(
      src.get(), stat_of(src.get()), dug.get(), {cloning::Zeros::dig, 1, progress}, "s", "d");
  EXPECT_EQ(result.copied, static_cast<int64_t>(kHoleBlock));
  EXPECT_EQ(result.dug, 3 * kMiB - static_cast<int64_t>(kHoleBlock));
  EXPECT_EQ(stat_of(dug.get()).st_blocks, static_cast<blkcnt_t>(kHoleBlock / 512));
  EXPECT_EQ(contents_of(dug.get()), contents_of(src.get()));
}

TEST(SparseCopy, RefusesASourceThatBecameShorter) {
  const base::Fd src = make_file(0);
  fill(src.get(), 0, 2 * kMiB, 'a');
  struct stat before = stat_of(src.get());
  before.st_size += 4096;  // its size before it was truncated
  // The missing end looks like a hole and must not count as one.
  const base::Fd dst = make_file(0);
  cloning::Progress progress;
  ASSERT_EQ(::ftruncate(src.get(), 2 * kMiB), 0);
  EXPECT_THROW(cloning::sparse_copy(src.get(), before, dst.get(),
                                    {cloning::Zeros::keep, 1, progress}, "src", "dst"),
               base::Refused);
}

TEST(DigHoles, PunchesZerosAndNothingElse) {
  const base::Fd file = make_file(0);
  fill(file.get(), 0, 4 * kMiB + 100, '\0');  // the last block is partial
  fill(file.get(), kMiB + kHoleBlock, kHoleBlock, 'a');
  const std::string before = contents_of(file.get());
  cloning::Progress progress;
  const off_t size = stat_of(file.get()).st_size;
  const blkcnt_t blocks = stat_of(file.get()).st_blocks;
  const std::vector<ByteRange> holes =
      cloning::holes_to_dig(file.get(), file.get(), size, 1, progress, "file", [] {});
  const int64_t expected = 4 * kMiB + 100 - static_cast<int64_t>(kHoleBlock);
  EXPECT_EQ(cloning::bytes_of(holes), expected);
  EXPECT_EQ(stat_of(file.get()).st_blocks, blocks);
  cloning::dig_holes(file.get(), holes, size, "file", [] {});
  EXPECT_EQ(contents_of(file.get()), before);
  EXPECT_EQ(stat_of(file.get()).st_blocks, static_cast<blkcnt_t>(kHoleBlock / 512));
}

}  // namespace
}  // namespace file
