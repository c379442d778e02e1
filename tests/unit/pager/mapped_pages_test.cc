// SPDX-License-Identifier: Apache-2.0
// Tests the record of mapped pages, and faults that are answered from the mapping.
#include "pager/image/mapped_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "pager/kernel/features.h"
#include "tests/unit/pager/fault_loop_fixture.h"

namespace pager {
namespace {

using hot::kSmallPage;

class MappedPagesTest : public testing::Test {
 protected:
  static constexpr uint64_t kPages = 200;  // four blocks, the last of 8 pages

  void SetUp() override {
    write_memory_file(dir_ / "memory", kPages);
    fd_ = base::open_file(dir_ / "memory", O_RDONLY);
    void* mapped = ::mmap(nullptr, kPages * kSmallPage, PROT_READ, MAP_SHARED, fd_.get(), 0);
    ASSERT_NE(mapped, MAP_FAILED);
    mapping_ = {static_cast<const std::byte*>(mapped), kPages * kSmallPage};
  }
  void TearDown() override { ::munmap(const_cast<std::byte*>(mapping_.data()), mapping_.size()); }

  static uint64_t count(const MappedPages& mapped, uint64_t first, uint64_t end) {
    uint64_t found = 0;
    for (uint64_t page = first; page < end; ++page) {
      found += mapped.has(page * kSmallPage) ? 1 : 0;
    }
    return found;
  }
  std::vector<unsigned char> cached() const {
    std::vector<unsigned char> pages(kPages);
    EXPECT_EQ(::mincore(const_cast<std::byte*>(mapping_.data()), mapping_.size(), pages.data()), 0);
    return pages;
  }

  ScratchDir dir_;
  base::Fd fd_;
  std::span<const std::byte> mapping_;
};

TEST_F(MappedPagesTest, NotesAnyRange) {
  MappedPages mapped(mapping_, fd_.get());
  EXPECT_EQ(count(mapped, 0, kPages), 0U);
  mapped.note(60 * kSmallPage, 70 * kSmallPage);
  EXPECT_EQ(count(mapped, 0, 60), 0U);
  EXPECT_EQ(count(mapped, 60, 130), 70U);
  EXPECT_EQ(count(mapped, 130, kPages), 0U);
  mapped.note(64 * kSmallPage, 64 * kSmallPage);
  EXPECT_EQ(count(mapped, 0, kPages), 70U);
}

TEST_F(MappedPagesTest, AddsTheCachedPagesOfAWantedBlock) {
  MappedPages mapped(mapping_, fd_.get());
  mapped.add(70 * kSmallPage);
  EXPECT_EQ(count(mapped, 0, kPages), 0U) << "not wanted";
  mapped.want(70 * kSmallPage);
  mapped.add(70 * kSmallPage);
  EXPECT_EQ(count(mapped, 64, 128), 64U) << "the file was just written";
  EXPECT_EQ(count(mapped, 0, kPages), 64U);
}

TEST_F(MappedPagesTest, AddsAllWantedBlocks) {
  MappedPages mapped(mapping_, fd_.get());
  mapped.want(0);
  mapped.want((kPages - 1) * kSmallPage);
  mapped.add_wanted();
  EXPECT_EQ(count(mapped, 0, 64), 64U);
  EXPECT_EQ(count(mapped, 64, 192), 0U);
  EXPECT_EQ(count(mapped, 192, kPages), 8U);
}

TEST_F(MappedPagesTest, ReadsNothingFromTheDisk) {
  ASSERT_EQ(::fsync(base::open_file(dir_ / "memory", O_RDWR).get()), 0);
  ASSERT_EQ(::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  if (std::ranges::count(cached(), 0) != static_cast<int64_t>(kPages)) {
    GTEST_SKIP() << "this filesystem keeps the pages in memory";
  }
  MappedPages mapped(mapping_, fd_.get());
  mapped.want(0);
  mapped.add_wanted();
  EXPECT_EQ(count(mapped, 0, kPages), 0U);
  EXPECT_EQ(std::ranges::count(cached(), 0), static_cast<int64_t>(kPages));
}

// The kernel reports every page of such a file as cached.
TEST_F(MappedPagesTest, RecordsNothingOfAFileOfAnotherUser) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  ASSERT_EQ(::fchmod(fd_.get(), 0444), 0);
  constexpr uid_t kNobody = 65534;
  ASSERT_EQ(::seteuid(kNobody), 0);
  MappedPages mapped(mapping_, fd_.get());
  ASSERT_EQ(::seteuid(0), 0);
  mapped.note(0, 64 * kSmallPage);
  mapped.want(0);
  mapped.add_wanted();
  EXPECT_EQ(count(mapped, 0, kPages), 0U);
}

class MappedFaultTest : public FaultLoopTest {
 protected:
  void SetUp() override {
    features() = Features();  // as if oom_score_adj could be lowered
    FaultLoopTest::SetUp();
  }
  void TearDown() override { features() = before_; }

  // A file that is sealed, so that it is mapped, and whose pages are recorded as mapped.
  void start_mapped(const std::set<uint64_t>& zeros = {}) {
    write_memory_file(dir_ / "memory", kPages);
    for (const uint64_t page : zeros) {
      const base::Fd fd = base::open_file(dir_ / "memory", O_RDWR);
      const std::vector<std::byte> nothing(kSmallPage);
      base::pwrite_full(fd.get(), nothing, static_cast<off_t>(page * kSmallPage), "memory");
    }
    ASSERT_EQ(::chmod((dir_ / "memory").c_str(), 0444), 0);
    image_ = Image::open(dir_ / "memory");
    ASSERT_EQ(image_->view(), Image::View::sealed);
    start_with_image({guest_->region()}, Window::lazy(), OnFailure::poison);
    image_->mapped_pages().note(0, kPages * kSmallPage);
  }

  Features before_ = features();
};

TEST_F(MappedFaultTest, AMappedPageIsNotRead) {
  start_mapped();
  EXPECT_EQ(served(7), page_word(7));
  EXPECT_EQ(count(Count::read_ns), 0U);
  EXPECT_EQ(count(Count::bytes_read), kSmallPage);
}

TEST_F(MappedFaultTest, AMappedPageOfZerosIsNotCopied) {
  start_mapped({7});
  EXPECT_EQ(served(7), 0U);
  EXPECT_EQ(count(Count::pages_zeroed), 1U);
  EXPECT_EQ(count(Count::pages_copied), 0U);
}

TEST_F(MappedFaultTest, APageThatTheGuestRemovedIsZeroAlthoughItIsMapped) {
  start_mapped();
  EXPECT_EQ(served(7), page_word(7));
  removed(7, 1);
  EXPECT_EQ(served(7), 0U);
}

// The record names pages that are no longer in the file.
TEST_F(MappedFaultTest, AMappedPageOfATruncatedFileIsPoisoned) {
  if (!features().has(Feature::poison)) {
    GTEST_SKIP() << "this kernel cannot poison pages";
  }
  start_mapped();
  mapping_->state().read_attempts = 1;
  ASSERT_EQ(::truncate((dir_ / "memory").c_str(), 0), 0);
  loop_->handle(std::array{fault_at(guest_->base() + 7 * kSmallPage)});
  EXPECT_EQ(count(Count::pages_poisoned), 1U);
  EXPECT_EQ(count(Count::read_errors), 1U);
  EXPECT_EQ(count(Count::pages_copied), 0U);
}

// They would count as memory of the server, which the OOM killer would choose.
TEST_F(MappedFaultTest, WithoutALowOomScoreEachPageIsRead) {
  features().probe("oom-score");
  start_mapped();
  EXPECT_EQ(served(7), page_word(7));
  EXPECT_GT(count(Count::read_ns), 0U);
}

TEST_F(MappedFaultTest, PagesThatFaultsHaveReadAreMappedLater) {
  start_mapped();
  image_ = Image::open(dir_ / "memory");  // its record is empty
  start_with_image({guest_->region()}, Window::lazy(), OnFailure::poison);
  EXPECT_EQ(served(7), page_word(7));
  EXPECT_GT(count(Count::read_ns), 0U);
  image_->mapped_pages().add_wanted();
  EXPECT_TRUE(image_->mapped_pages().has(8 * kSmallPage));
}

}  // namespace
}  // namespace pager
