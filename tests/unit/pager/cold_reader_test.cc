// SPDX-License-Identifier: Apache-2.0
// Tests the reader of cold pages, and the marks of pages that were found in the page cache.
#include "pager/faults/cold_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/fd.h"
#include "hot/region.h"
#include "pager/image/residency.h"
#include "tests/unit/pager/test_guest.h"
#include "tests/unit/scratch_dir.h"

namespace pager {
namespace {

constexpr uint64_t kPage = hot::kSmallPage;

TEST(Residency, MarksRangesAcrossWords) {
  Residency residency(uint64_t{1} << 20U);
  EXPECT_FALSE(residency.known(0, kPage));
  residency.mark(60 * kPage, 10 * kPage);
  EXPECT_TRUE(residency.known(60 * kPage, 10 * kPage));
  EXPECT_TRUE(residency.known(63 * kPage, 2 * kPage));
  EXPECT_FALSE(residency.known(59 * kPage, 2 * kPage));
  EXPECT_FALSE(residency.known(69 * kPage, 2 * kPage));
  residency.mark(0, 256 * kPage);
  EXPECT_TRUE(residency.known(0, 256 * kPage));
}

// The kernel reports every page of such a file as cached, so the reader has to read them all.
TEST(ColdReader, DoesNotTrustTheResidencyOfAFileOfAnotherUser) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  const ScratchDir dir;
  write_memory_file(dir / "memory", 16, {});
  ASSERT_EQ(::chmod((dir / "memory").c_str(), 0444), 0);
  ASSERT_EQ(::chmod(dir.path().c_str(), 0755), 0);
  constexpr uid_t kNobody = 65534;
  ASSERT_EQ(::seteuid(kNobody), 0);
  const auto image = Image::open(dir / "memory");
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_FALSE(image->is_cached(0, kPage));
  EXPECT_TRUE(Image::open(dir / "memory")->is_cached(0, kPage)) << "the file was just written";
}

TEST(ColdReader, ReadsColdPagesAndNoOthersIntoThePageCache) {
  const ScratchDir dir;
  constexpr uint64_t kPages = 512;
  write_memory_file(dir / "memory", kPages, {});
  {
    const base::Fd file = base::open_file(dir / "memory", O_RDONLY);
    base::sync_fd(file.get(), "memory");
    ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
  const auto image = Image::open(dir / "memory");
  if (image->is_cached(100 * kPage, kPage)) {
    GTEST_SKIP() << "this filesystem keeps the pages of a file in memory";
  }
  const Counters counters;
  ColdReader reader(*image, counters);
  reader.read(
      {{.offset = 100 * kPage, .bytes = 40 * kPage}, {.offset = 300 * kPage, .bytes = kPage}});
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!image->residency().known(300 * kPage, kPage) &&
         std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_TRUE(image->is_cached(100 * kPage, 40 * kPage));
  EXPECT_TRUE(image->is_cached(300 * kPage, kPage));
  EXPECT_FALSE(image->is_cached(301 * kPage, kPage)) << "no read-ahead";
  EXPECT_FALSE(image->is_cached(99 * kPage, kPage));
}

}  // namespace
}  // namespace pager
