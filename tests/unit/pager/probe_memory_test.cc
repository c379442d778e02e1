// SPDX-License-Identifier: Apache-2.0
// Tests the guest memory and the memory file of a probe.
#include "pager/probe/memory.h"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "tests/unit/scratch_dir.h"

namespace pager {
namespace {

constexpr uint64_t kBytes = 10 * hot::kSmallPage;

TEST(ProbeMemory, HasTheLayoutOfFirecracker) {
  const GuestMemory memory(kBytes, hot::kSmallPage, 3);
  const std::vector<hot::Region>& regions = memory.regions();
  ASSERT_EQ(regions.size(), 3U);
  EXPECT_EQ(hot::layout_problem(regions, kBytes), std::nullopt);
  uint64_t offset = 0;
  for (size_t i = 0; i < regions.size(); ++i) {
    EXPECT_EQ(regions[i].base % hot::kHugePage, 0U);
    EXPECT_EQ(regions[i].offset, offset);
    offset += regions[i].size;
    if (i > 0) {
      EXPECT_LT(regions[i].end(), regions[i - 1].base);  // below, separated by unmapped memory
    }
  }
  EXPECT_EQ(offset, kBytes);
  EXPECT_EQ(regions[2].size, 4 * hot::kSmallPage);
}

TEST(ProbeMemory, FindsTheAddressOfEachPage) {
  const GuestMemory memory(kBytes, hot::kSmallPage, 3);
  for (PageNumber page = 0; page < 10; ++page) {
    const auto address = reinterpret_cast<uintptr_t>(memory.address(page));
    const hot::Region* const region = hot::find_region(memory.regions(), address);
    ASSERT_NE(region, nullptr) << page;
    EXPECT_EQ(region->offset + (address - region->base), page * hot::kSmallPage);
    EXPECT_EQ(memory.region_end(page), (region->offset + region->size) / hot::kSmallPage);
  }
}

TEST(ProbeMemory, ReportsWhichPagesArePresent) {
  const GuestMemory memory(kBytes, hot::kSmallPage, 2);
  EXPECT_FALSE(memory.is_present(7));
  *memory.address(7) = std::byte{1};
  EXPECT_TRUE(memory.is_present(7));
  EXPECT_FALSE(memory.is_present(8));
}

TEST(ProbeMemory, ReadsAFileByPage) {
  const ScratchDir dir;
  std::ofstream(dir / "m") << std::string(hot::kSmallPage, 'a')
                           << std::string(hot::kSmallPage, 'b');
  const MemoryFile file(dir / "m", hot::kSmallPage);
  EXPECT_EQ(file.pages(), 2U);
  std::array<std::byte, hot::kSmallPage> page{};
  file.read_page(1, page);
  EXPECT_EQ(page[0], std::byte{'b'});
  EXPECT_EQ(page[hot::kSmallPage - 1], std::byte{'b'});
  std::filesystem::resize_file(dir / "m", hot::kSmallPage);
  EXPECT_THROW(file.read_page(1, page), base::BadData);
}

TEST(ProbeMemory, RefusesFilesThatAreNotWholePages) {
  const ScratchDir dir;
  std::ofstream(dir / "odd") << "x";
  std::ofstream(dir / "empty").flush();
  EXPECT_THROW(MemoryFile(dir / "odd", hot::kSmallPage), base::BadData);
  EXPECT_THROW(MemoryFile(dir / "empty", hot::kSmallPage), base::BadData);
  EXPECT_THROW(MemoryFile(dir.path(), hot::kSmallPage), base::BadData);
  EXPECT_THROW(MemoryFile(dir / "none", hot::kSmallPage), std::system_error);
}

}  // namespace
}  // namespace pager
