// SPDX-License-Identifier: Apache-2.0
// Tests the zero map, the digest and image.json.
#include "meta/image/image_scan.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "meta/image/image_record.h"
#include "tests/unit/scratch_dir.h"

namespace {

using meta::ZeroRun;
using Runs = std::vector<ZeroRun>;

constexpr size_t kPage = hot::kSmallPage;

// Makes a file of pages: '.' is a hole, 'z' is a page of written zeros, other letters are data.
class ImageFile {
 public:
  ImageFile(const ScratchDir& dir, const std::string& pages, size_t extra_bytes = 0)
      : fd_(base::open_file(dir / "image", O_RDWR | O_CREAT | O_TRUNC, 0600)) {
    EXPECT_EQ(::ftruncate(fd_.get(), static_cast<off_t>(pages.size() * kPage + extra_bytes)), 0);
    for (size_t i = 0; i < pages.size(); ++i) {
      if (pages[i] != '.') {
        const std::string bytes(kPage, pages[i] == 'z' ? '\0' : pages[i]);
        EXPECT_EQ(::pwrite(fd_.get(), bytes.data(), kPage, static_cast<off_t>(i * kPage)),
                  static_cast<ssize_t>(kPage));
      }
    }
  }
  meta::ImageScan scan() const { return meta::scan_image(fd_.get(), "image"); }
  int fd() const { return fd_.get(); }

 private:
  base::Fd fd_;
};

TEST(ZeroMap, JoinsAdjacentRuns) {
  meta::ZeroMap map;
  map.add(0, 2);
  map.add(2, 1);
  map.add(5, 1);
  map.add(7, 0);
  EXPECT_EQ(map.runs(), (Runs{{0, 3}, {5, 1}}));
  EXPECT_EQ(map.pages(), 4U);
  EXPECT_EQ(map.complete_from(), 1U);
}

TEST(ZeroMap, DropsShortRunsIfThereAreTooMany) {
  meta::ZeroMap map(8);
  uint64_t zero_pages = 0;
  for (uint64_t i = 0; i < 40; ++i) {
    const uint64_t length = i % 10 == 0 ? 20 : 1 + i % 3;
    map.add(i * 100, length);
    zero_pages += length;
  }
  EXPECT_EQ(map.pages(), zero_pages);
  EXPECT_LE(map.runs().size(), 9U);
  EXPECT_GT(map.complete_from(), 3U);
  size_t long_runs = 0;
  for (const ZeroRun& run : map.runs()) {
    long_runs += run.count == 20 ? 1 : 0;
  }
  EXPECT_EQ(long_runs, 4U);
}

TEST(ZeroMap, KeepsAShortLastRunThatMayGrow) {
  meta::ZeroMap map(2);
  for (uint64_t i = 0; i < 8; ++i) {
    map.add(i * 100, 4);
  }
  ASSERT_GT(map.complete_from(), 4U);
  map.add(1000, 1);
  map.add(1001, 99);
  EXPECT_EQ(map.runs().back(), (ZeroRun{1000, 100}));
}

TEST(ImageScan, FindsZeroPagesInHolesAndInData) {
  const ScratchDir dir;
  const meta::ImageScan scan = ImageFile(dir, "ab..zzc.z").scan();
  EXPECT_EQ(scan.zeros.runs(), (Runs{{2, 4}, {7, 2}}));
  EXPECT_EQ(scan.data_pages, 3U);
  EXPECT_EQ(scan.zeros.pages(), 6U);
  EXPECT_EQ(scan.bytes, 9 * kPage);
}

TEST(ImageScan, DigestDoesNotDependOnWhichZerosAreHoles) {
  const ScratchDir dir;
  const std::string digest = ImageFile(dir, "ab..zzc.z").scan().digest;
  EXPECT_EQ(digest.size(), std::string("xxh3-128:").size() + 32);
  EXPECT_EQ(ImageFile(dir, "abzz..cz.").scan().digest, digest);
  EXPECT_EQ(ImageFile(dir, "abzzzzczz").scan().digest, digest);
}

TEST(ImageScan, DigestDependsOnBytesAndTheirOffsets) {
  const ScratchDir dir;
  const std::string digest = ImageFile(dir, "ab..c").scan().digest;
  EXPECT_NE(ImageFile(dir, "ab.c.").scan().digest, digest);
  EXPECT_NE(ImageFile(dir, "ba..c").scan().digest, digest);
  EXPECT_NE(ImageFile(dir, "a.b.c").scan().digest, digest);
  EXPECT_NE(ImageFile(dir, "ab..d").scan().digest, digest);
}

TEST(ImageScan, ReadsRunsThatAreLargerThanItsBuffer) {
  const ScratchDir dir;
  const std::string pages =
      std::string(1500, 'x') + "." + std::string(1000, 'y') + std::string(700, '.');
  const meta::ImageScan scan = ImageFile(dir, pages).scan();
  EXPECT_EQ(scan.zeros.runs(), (Runs{{1500, 1}, {2501, 700}}));
  EXPECT_EQ(scan.data_pages, 2500U);
}

TEST(ImageScan, ReadsAnEmptyFileAndAPartialLastPage) {
  const ScratchDir dir;
  EXPECT_EQ(ImageFile(dir, "").scan().zeros.pages(), 0U);
  const ImageFile odd(dir, "a", 100);
  EXPECT_EQ(odd.scan().zeros.runs(), (Runs{{1, 1}}));
  EXPECT_EQ(::pwrite(odd.fd(), "x", 1, kPage + 50), 1);
  EXPECT_EQ(odd.scan().data_pages, 2U);
}

TEST(ImageRecord, IsReadAsItWasWritten) {
  const meta::ImageRecord record{.digest = "xxh3-128:00",
                                 .memory_bytes = 10 * kPage,
                                 .page_size = 2 << 20,
                                 .data_pages = 4,
                                 .zero_pages = 6,
                                 .extents = std::nullopt,
                                 .zero_runs_from_pages = 2,
                                 .zero_runs = {{0, 3}, {5, 3}}};
  const meta::ImageRecord read = meta::parse_image_record(meta::to_json(record), "image.json");
  EXPECT_EQ(read.digest, record.digest);
  EXPECT_EQ(read.memory_bytes, record.memory_bytes);
  EXPECT_EQ(read.page_size, record.page_size);
  EXPECT_EQ(read.data_pages, record.data_pages);
  EXPECT_EQ(read.zero_pages, record.zero_pages);
  EXPECT_EQ(read.extents, record.extents);
  EXPECT_EQ(read.zero_runs_from_pages, record.zero_runs_from_pages);
  EXPECT_EQ(read.zero_runs, record.zero_runs);
}

TEST(ImageRecord, WithInvalidRunsIsRefused) {
  const auto with_runs = [](const std::string& runs) {
    return R"({"v":1,"digest":"d","memory_bytes":40960,"page_size":4096,"data_pages":1,)"
           R"("zero_pages":1,"extents":1,"zero_runs_from_pages":1,"zero_runs":)" +
           runs + "}";
  };
  EXPECT_NO_THROW(static_cast<void>(meta::parse_image_record(with_runs("[[0,1],[2,8]]"), "i")));
  for (const char* bad : {"[[0,0]]", "[[0,12]]", "[[9,3]]", "[[3,1],[2,1]]", "[[0,2],[1,1]]",
                          "[[-1,1]]", "[[0]]", "[0,1]", "{}", "[[0,9223372036854775807]]",
                          "[[9223372036854775807,2]]", "[[0,18446744073709551616]]"}) {
    EXPECT_THROW(static_cast<void>(meta::parse_image_record(with_runs(bad), "i")), base::BadData)
        << bad;
  }
  EXPECT_THROW(static_cast<void>(meta::parse_image_record("{\"v\":2}", "i")), base::BadData);
  EXPECT_THROW(static_cast<void>(meta::parse_image_record("{}", "i")), base::BadData);
}

}  // namespace
