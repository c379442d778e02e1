// SPDX-License-Identifier: Apache-2.0
// Tests the installation of hot lists and its record in the state.
#include "pager/faults/hot_installer.h"

#include "base/atomic_file.h"
#include "base/crc32.h"
#include "hot/packed.h"
#include "tests/unit/pager/idle_work_fixture.h"

namespace pager {
namespace {

class HotInstallerTest : public IdleWorkTest {
 protected:
  using List = std::shared_ptr<const HotFile>;

  void SetUp() override {
    IdleWorkTest::SetUp();
    if (!IsSkipped()) {
      restart();
    }
  }
  // A new installer with the same state, as of a successor.
  void restart() {
    hot_.emplace(state(), *table_, *filler_, *image_, *cold_, counters_, log_, nullptr);
  }
  SessionState::HotLists& state() { return mapping_->state().hot; }
  static List list(const std::string& path, uint64_t first, uint64_t pages, uint32_t region = 0) {
    hot::HotList pages_of_file;
    for (uint64_t page = first; page < first + pages; ++page) {
      pages_of_file.runs.push_back({.region = region, .offset = page * hot::kSmallPage});
    }
    return std::make_shared<HotFile>(path, std::move(pages_of_file));
  }
  std::vector<std::string> recorded() {
    std::vector<std::string> paths;
    for (uint32_t i = 0; i < state().count; ++i) {
      paths.emplace_back(state().paths.at(i).view());
    }
    return paths;
  }
  using Paths = std::vector<std::string>;

  std::optional<HotInstaller> hot_;
};

TEST_F(HotInstallerTest, InstallsListsInTheirOrder) {
  EXPECT_FALSE(hot_->was_given());
  hot_->add(list("a", 500, 8));
  hot_->add(list("b", 0, 8));
  EXPECT_EQ(recorded(), (Paths{"a", "b"}));
  hot_->piece(kPiece);
  EXPECT_TRUE(guest_->is_present(500));
  EXPECT_FALSE(guest_->is_present(0));
  work_off(*hot_);
  EXPECT_TRUE(guest_->is_present(7));
  EXPECT_EQ(count(Count::pages_prefetched), 16U);
  EXPECT_EQ(count(Count::hot_lists_ended), 2U);
  EXPECT_EQ(recorded(), (Paths{"b"})) << "the last list stays, for faults_unlisted";
}

// A list with pages that the image does not have, so that a test sees where they come from.
class PackedInstallerTest : public HotInstallerTest {
 protected:
  static constexpr uint64_t kPiecePages = 16;
  static uint64_t packed_word(uint64_t page) { return page_word(page) + 1; }

  // A packed list of these pages. `damaged`: a piece that has a wrong checksum.
  List packed(const std::vector<uint64_t>& pages, uint64_t damaged = UINT64_MAX,
              uint64_t inode_offset = 0) {
    hot::PackedMap map{.list = {.format = hot::ListFormat::hpl2,
                                .regions = {{.base = 0, .size = image_->size(), .offset = 0}},
                                .memory_bytes = image_->size()},
                       .inode = image_->identity().inode + inode_offset,
                       .modified_ns = image_->identity().modified_ns,
                       .piece_pages = kPiecePages};
    std::string contents;
    for (const uint64_t page : pages) {
      hot::append_page(map.list, {.region = 0, .offset = page * hot::kSmallPage});
      const uint64_t word = packed_word(page);
      for (size_t i = 0; i < hot::kSmallPage / sizeof word; ++i) {
        contents.append(reinterpret_cast<const char*>(&word), sizeof word);
      }
    }
    const uint64_t piece = kPiecePages * hot::kSmallPage;
    for (uint64_t at = 0; at < contents.size(); at += piece) {
      map.checksums.push_back(base::crc32(contents.substr(at, piece)) +
                              (at / piece == damaged ? 1 : 0));
    }
    const std::string path = dir_ / "packed";
    base::write_file_atomic(path, hot::encode_packed_map(map) + contents, 0600, base::Durable::yes);
    return lists_.open(path, *image_);
  }

  HotListCache lists_;
};

TEST_F(PackedInstallerTest, InstallsTheFilesPagesIfTheImageIsCold) {
  std::vector<uint64_t> pages;
  for (uint64_t page = 900; page > 800; --page) {
    pages.push_back(page);
  }
  pages.insert(pages.end(), {5, 6, 7, 8, 40});
  const List list = packed(pages);
  if (!make_cold()) {
    GTEST_SKIP() << "this filesystem keeps the pages of a file in memory";
  }
  table_->mark_removed(guest_->address(850), guest_->address(852));
  hot_->add(list);
  work_off(*hot_);
  EXPECT_EQ(count(Count::pages_prefetched), pages.size() - 2);
  EXPECT_EQ(count(Count::bytes_read), 0U) << "nothing of the image was read";
  for (const uint64_t page : pages) {
    if (page == 850 || page == 851) {
      EXPECT_FALSE(guest_->is_present(page)) << page;
    } else {
      EXPECT_EQ(guest_->word(page), packed_word(page)) << page;
    }
  }
}

TEST_F(PackedInstallerTest, InstallsThePagesOfTheImageIfItIsCached) {
  hot_->add(packed({5, 6, 900}));
  work_off(*hot_);
  EXPECT_EQ(guest_->word(900), page_word(900));
}

TEST_F(PackedInstallerTest, NeverUsesThePagesOfAnotherImage) {
  const List list = packed({5, 6, 900}, UINT64_MAX, 1);
  make_cold();
  testing::internal::CaptureStderr();
  hot_->add(list);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("packed from another file"),
            std::string::npos);
  work_off(*hot_);
  EXPECT_EQ(guest_->word(900), page_word(900));
  EXPECT_EQ(count(Count::pages_prefetched), 3U) << "the list itself is used";
}

TEST_F(PackedInstallerTest, EndsAtADamagedPiece) {
  std::vector<uint64_t> pages;
  for (uint64_t page = 100; page < 100 + 3 * kPiecePages; ++page) {
    pages.push_back(page);
  }
  const List list = packed(pages, 1);
  if (!make_cold()) {
    GTEST_SKIP() << "this filesystem keeps the pages of a file in memory";
  }
  testing::internal::CaptureStderr();
  hot_->add(list);
  work_off(*hot_);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("piece 1 has a wrong checksum"),
            std::string::npos);
  EXPECT_EQ(count(Count::pages_prefetched), kPiecePages);
  EXPECT_EQ(count(Count::hot_list_refused), 1U);
  EXPECT_FALSE(guest_->is_present(100 + kPiecePages));
  EXPECT_FALSE(hot_->has_work());
}

TEST_F(PackedInstallerTest, ASuccessorContinuesInTheMiddleOfAPiece) {
  std::vector<uint64_t> pages;
  for (uint64_t page = 100; page < 100 + 3 * kPiecePages; ++page) {
    pages.push_back(page);
  }
  const List list = packed(pages);
  if (!make_cold()) {
    GTEST_SKIP() << "this filesystem keeps the pages of a file in memory";
  }
  state().count = 1;
  state().paths.at(0).set(list->path);
  state().next = kPiecePages + 5;
  hot_->take_over(std::vector<List>{list});
  work_off(*hot_);
  EXPECT_FALSE(guest_->is_present(100 + kPiecePages - 1));
  for (uint64_t page = 100 + kPiecePages; page < 100 + 3 * kPiecePages; ++page) {
    EXPECT_EQ(guest_->word(page), packed_word(page)) << page;
  }
}

TEST_F(HotInstallerTest, NeverInstallsRemovedPages) {
  table_->mark_removed(guest_->address(10), guest_->address(20));
  hot_->add(list("a", 0, 32));
  work_off(*hot_);
  EXPECT_EQ(count(Count::pages_prefetched), 22U);
  EXPECT_FALSE(guest_->is_present(15));
}

TEST_F(HotInstallerTest, NeverWaitsForTheDisk) {
  if (!make_cold()) {
    GTEST_SKIP() << "this filesystem keeps the pages of a file in memory";
  }
  hot_->add(list("a", 512, 20));
  EXPECT_EQ(hot_->piece(kPiece), Stop::done);
  EXPECT_EQ(installed(), 0U) << "another thread reads them";
  EXPECT_GT(hot_->due_ns(), 0U);
  work_off(*hot_);
  EXPECT_EQ(count(Count::pages_prefetched), 20U);
}

TEST_F(HotInstallerTest, RefusesAListThatDoesNotFitTheRegions) {
  hot_->add(list("other", 0, 8, 1));
  EXPECT_FALSE(hot_->has_work());
  EXPECT_FALSE(hot_->was_given());
  EXPECT_EQ(count(Count::hot_list_refused), 1U);
  EXPECT_EQ(count(Count::hot_lists_ended), 1U);
  EXPECT_TRUE(recorded().empty());
}

TEST_F(HotInstallerTest, RefusesListsBeyondItsLimit) {
  for (uint64_t i = 0; i < SessionState::kHotLists; ++i) {
    hot_->add(list(std::to_string(i), i * 8, 8));
  }
  hot_->add(list("one too many", 900, 8));
  EXPECT_EQ(recorded(), (Paths{"0", "1", "2", "3"}));
  EXPECT_EQ(count(Count::hot_lists_ended), 1U);
  work_off(*hot_);
  EXPECT_FALSE(guest_->is_present(900));
}

TEST_F(HotInstallerTest, ASuccessorContinuesAndSkipsWhatIsInstalled) {
  const List first = list("a", 0, 64);
  const List second = list("b", 128, 8);
  hot_->add(first);
  hot_->add(second);
  hot_->piece(kPiece);
  restart();
  hot_->take_over(std::vector{first, second});
  EXPECT_EQ(recorded(), (Paths{"a", "b"}));
  work_off(*hot_);
  EXPECT_EQ(count(Count::pages_copied), 72U) << "nothing twice";
  EXPECT_TRUE(guest_->is_present(135));
}

TEST_F(HotInstallerTest, ASuccessorDoesNotRestartALongList) {
  hot::HotList long_list;
  long_list.runs.resize(4096, {.region = 0, .offset = 0});
  for (uint64_t page = 100; page < 120; ++page) {
    long_list.runs.push_back({.region = 0, .offset = page * hot::kSmallPage});
  }
  const auto pages = std::make_shared<HotFile>("long", std::move(long_list));
  hot_->add(pages);
  while (state().next == 0) {
    hot_->piece(kPiece);
  }
  EXPECT_EQ(state().next, 4096U);
  restart();
  hot_->take_over(std::vector<List>{pages});
  EXPECT_EQ(state().next, 4096U);
  hot_->piece(kPiece);
  EXPECT_EQ(state().next, 4096U);
  EXPECT_EQ(installed(), 1 + 2 * 8U) << "its first piece is not of the first entries";
}

TEST_F(HotInstallerTest, ASuccessorSkipsAListThatCannotBeOpened) {
  hot_->add(list("gone", 0, 8));
  hot_->add(list("b", 128, 8));
  restart();
  hot_->take_over(std::vector<List>{nullptr, list("b", 128, 8)});
  work_off(*hot_);
  EXPECT_FALSE(guest_->is_present(0));
  EXPECT_TRUE(guest_->is_present(128));
}

TEST_F(HotInstallerTest, DropEndsAllLists) {
  hot_->add(list("a", 0, 64));
  hot_->add(list("b", 128, 8));
  hot_->piece(kPiece);
  testing::internal::CaptureStderr();
  hot_->drop(true);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("memory limit"), std::string::npos);
  EXPECT_FALSE(hot_->has_work());
  EXPECT_TRUE(hot_->was_given());
  EXPECT_EQ(count(Count::hot_lists_ended), 2U);
  EXPECT_EQ(state().next, 64U) << "a successor does not continue it";
  EXPECT_EQ(recorded(), (Paths{"a"}));
}

TEST_F(HotInstallerTest, CountsFaultsOutsideOfTheList) {
  hot_->count_fault(region(), 5);
  EXPECT_EQ(count(Count::faults_unlisted), 0U) << "no list was given";
  hot_->add(list("a", 0, 8));
  hot_->count_fault(region(), 7);
  hot_->count_fault(region(), 8);
  EXPECT_EQ(count(Count::faults_unlisted), 1U);
}

TEST_F(HotInstallerTest, ARemovalInProgressStopsAPieceWhichIsThenRepeated) {
  hot_->add(list("a", 0, 8));
  begin_removal(500);
  EXPECT_EQ(hot_->piece(kPiece), Stop::again);
  finish_removal();
  work_off(*hot_);
  EXPECT_EQ(count(Count::pages_prefetched), 8U);
}

}  // namespace
}  // namespace pager
