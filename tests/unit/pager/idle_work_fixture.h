// SPDX-License-Identifier: Apache-2.0
// A guest and what a part of its fault loop uses, without a loop.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/error.h"
#include "pager/faults/cold_pages.h"
#include "pager/faults/page_filler.h"
#include "pager/faults/session_log.h"
#include "pager/faults/session_state.h"
#include "pager/faults/vmm.h"
#include "tests/unit/pager/test_guest.h"
#include "tests/unit/scratch_dir.h"

namespace pager {

class IdleWorkTest : public testing::Test {
 protected:
  static constexpr uint64_t kPages = 1024;
  static constexpr uint64_t kPiece = 8 * hot::kSmallPage;

  void SetUp() override {
    try {
      guest_.emplace(kPages);
    } catch (const base::Unsupported& error) {
      GTEST_SKIP() << error.what();
    }
    use_image({});
  }
  void use_image(const std::set<uint64_t>& holes) {
    write_memory_file(dir_ / "memory", kPages, holes);
    image_ = Image::open(dir_ / "memory");
    mapping_.emplace(std::vector<hot::Region>{guest_->region()}, image_->identity());
    table_.emplace(mapping_->state());
    filler_.emplace(guest_->uffd(), *table_, *image_, counters_);
    cold_.emplace(*filler_, *image_, counters_);
  }
  // Pages at and after this one cannot be read. Returns false if the filesystem prevents that.
  bool cut_image_at(uint64_t page) {
    return image_->view() != Image::View::private_copy &&
           ::truncate((dir_ / "memory").c_str(), static_cast<off_t>(page * hot::kSmallPage)) == 0;
  }
  // Removes the image from the page cache. Returns false if the filesystem keeps it.
  bool make_cold() {
    base::sync_fd(image_->fd(), "memory");
    ::posix_fadvise(image_->fd(), 0, 0, POSIX_FADV_DONTNEED);
    return !image_->is_cached(0, hot::kSmallPage) &&
           !image_->is_cached(kPages / 2 * hot::kSmallPage, hot::kSmallPage);
  }
  const PageTable::RegionPages& region() const { return table_->regions().front(); }
  uint64_t installed() const { return table_->count_installed(0, kPages); }
  uint64_t count(Count which) const { return counters_.get(which); }
  // Runs pieces until no work is left. Returns the number of pieces, without those that only waited
  // for the disk.
  template <typename Work>
  int work_off(Work& work) {
    int pieces = 0;
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (work.has_work() && std::chrono::steady_clock::now() < end) {
      work.piece(kPiece);
      pieces += work.due_ns() == 0 ? 1 : 0;
    }
    return pieces;
  }
  // Blocks a removal, so that every call of the kernel is refused until finish_removal().
  void begin_removal(uint64_t page) {
    removal_ = guest_->remove(page, 1);
    ASSERT_TRUE(wait_for_true([&] { return uffd_readable(guest_->uffd()); }));
  }
  void finish_removal() {
    std::array<uffd_msg, 4> messages{};
    EXPECT_EQ(uffd_read(guest_->uffd(), messages), 1U);
    EXPECT_TRUE(removal_.get());
  }

  ScratchDir dir_;
  std::optional<TestGuest> guest_;
  std::shared_ptr<const Image> image_;
  std::optional<StateMapping> mapping_;
  std::optional<PageTable> table_;
  Counters counters_;
  Vmm vmm_;
  SessionLog log_{"test", 0, 0};
  std::optional<PageFiller> filler_;
  std::optional<ColdPages> cold_;
  std::future<bool> removal_;
};

}  // namespace pager
