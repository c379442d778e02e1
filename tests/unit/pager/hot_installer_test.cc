// SPDX-License-Identifier: Apache-2.0
// Tests the installation of hot lists and its record in the state.
#include "pager/faults/hot_installer.h"

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
  void restart() { hot_.emplace(state(), *table_, *filler_, *image_, counters_, log_, nullptr); }
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

TEST_F(HotInstallerTest, NeverInstallsRemovedPages) {
  table_->mark_removed(guest_->address(10), guest_->address(20));
  hot_->add(list("a", 0, 32));
  work_off(*hot_);
  EXPECT_EQ(count(Count::pages_prefetched), 22U);
  EXPECT_FALSE(guest_->is_present(15));
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
