// SPDX-License-Identifier: Apache-2.0
// Tests that a successor continues from a copy of the state and the userfaultfd.
#include <cstring>
#include <map>

#include "tests/unit/pager/fault_loop_fixture.h"

namespace pager {
namespace {

class TakeOverTest : public FaultLoopTest {
 protected:
  void TearDown() override { loop_.reset(); }  // before the descriptor that it borrows

  // The loop ends as if it were killed. The successor opens the lists by the paths in the state.
  FaultLoop& take_over(const std::map<std::string, std::shared_ptr<const HotFile>>& lists = {}) {
    loop_.reset();
    if (mapping_) {
      const SessionState& left = mapping_->state();
      bytes_.resize((left.total_bytes + sizeof(uint64_t) - 1) / sizeof(uint64_t));
      std::memcpy(bytes_.data(), &left, left.total_bytes);
    }
    uffd_ = base::Fd(::fcntl(guest_->uffd(), F_DUPFD_CLOEXEC, 0));
    mapping_.reset();
    SessionState& state = copy();
    loop_.emplace(FaultLoopParts{.uffd = uffd_.get(),
                                 .state = state,
                                 .image = *image_,
                                 .vmm = vmm_,
                                 .counters = second_,
                                 .log = log_,
                                 .trace = nullptr},
                  Window::of_setting(state.window_pages, state.window_bytes.factor));
    std::vector<std::shared_ptr<const HotFile>> opened;
    for (uint32_t i = 0; i < state.hot.count; ++i) {
      const auto list = lists.find(std::string(state.hot.paths.at(i).view()));
      opened.push_back(list == lists.end() ? nullptr : list->second);
    }
    loop_->take_over();
    loop_->resume_hot_lists(opened);
    return *loop_;
  }
  SessionState& copy() { return *reinterpret_cast<SessionState*>(bytes_.data()); }
  // Runs the first step of a loop. Its further work is lost.
  void read_and_die(size_t messages) {
    auto& events = mapping_->state().events;
    for (size_t read = 0; read < messages;) {
      read += uffd_read(guest_->uffd(), std::span(events).subspan(read));
    }
  }
  static std::shared_ptr<HotFile> list(const std::string& path, uint64_t first, uint64_t pages) {
    hot::HotList pages_of_file;
    for (uint64_t page = first; page < first + pages; ++page) {
      pages_of_file.runs.push_back({.region = 0, .offset = page * hot::kSmallPage});
    }
    return std::make_shared<HotFile>(path, std::move(pages_of_file));
  }
  uint64_t count_second(Count which) const { return second_.get(which); }

  std::vector<uint64_t> bytes_;
  base::Fd uffd_;
  Counters second_;
};

TEST_F(TakeOverTest, ContinuesACompletionAndKeepsRemovedPagesZero) {
  start();
  removed(16, 8);
  const auto asked = std::make_shared<Completion>(0);
  loop_->complete(asked);
  loop_->step();
  loop_->step();
  const uint64_t copied = count(Count::pages_copied);
  ASSERT_GT(copied, 0U);
  ASSERT_LT(copied, kPages / 2);
  // Read, but neither marked nor answered.
  std::future<uint64_t> touched = guest_->touch(220);
  ASSERT_TRUE(guest_->wait_for_unread_faults(1));
  std::future<bool> removal = guest_->remove(200, 10);
  read_and_die(2);
  EXPECT_TRUE(removal.get());

  FaultLoop& loop = take_over();
  EXPECT_EQ(serve_until(std::move(touched)), page_word(220));
  for (int i = 0; i < 10'000 && !loop.detached(); ++i) {
    loop.step();
  }
  EXPECT_TRUE(loop.detached());
  EXPECT_EQ(count_second(Count::pages_removed), 10U);
  EXPECT_LE(copied + count_second(Count::pages_copied), kPages - 18) << "something twice";
  for (uint64_t page = 0; page < kPages; ++page) {
    const bool gone = (page >= 16 && page < 24) || (page >= 200 && page < 210);
    ASSERT_EQ(guest_->word(page), gone ? 0 : page_word(page)) << page;
  }
}

TEST_F(TakeOverTest, AFaultThatWasReadButNotAnsweredIsRaisedAgain) {
  start({}, Window::lazy());
  std::future<uint64_t> touched = guest_->touch(220);
  read_and_die(1);
  take_over();
  EXPECT_EQ(serve_until(std::move(touched)), page_word(220));
}

TEST_F(TakeOverTest, KeepsTheRateOfACompletion) {
  start();
  loop_->complete(std::make_shared<Completion>(PageFiller::kMaxBytes));  // one piece a second
  loop_->step();
  ASSERT_EQ(count(Count::pages_copied), 32U);
  EXPECT_EQ(mapping_->state().completion.next, 32U);
  FaultLoop& loop = take_over();
  for (int i = 0; i < 1000; ++i) {
    loop.step();
  }
  EXPECT_EQ(count_second(Count::pages_copied), 32U);
  EXPECT_EQ(copy().completion.next, 64U);
}

TEST_F(TakeOverTest, ContinuesToConfirmEachPage) {
  start();  // a VMM without a readable pagemap
  const auto asked = std::make_shared<Completion>(0);
  loop_->complete(asked);
  while (mapping_->state().completion.stage != CompletionStage::confirming) {
    loop_->step();
  }
  loop_->step();
  FaultLoop& loop = take_over();
  for (int i = 0; i < 10'000 && !loop.detached(); ++i) {
    loop.step();
  }
  EXPECT_TRUE(loop.detached());
  EXPECT_EQ(count_second(Count::pages_copied), 0U) << "all pages were present";
  EXPECT_TRUE(take_over().detached()) << "the successor is detached, too";
}

TEST_F(TakeOverTest, ContinuesHotListsWhereTheyStopped) {
  start({}, Window::lazy());
  const std::map<std::string, std::shared_ptr<const HotFile>> lists{{"a", list("a", 0, 64)},
                                                                    {"b", list("b", 128, 32)}};
  loop_->prefetch(lists.at("a"));
  loop_->prefetch(lists.at("b"));
  loop_->step();
  EXPECT_EQ(count(Count::pages_prefetched), 32U);
  loop_->pause();

  FaultLoop& loop = take_over(lists);
  EXPECT_FALSE(loop.wait_ns()) << "the pause is kept";
  EXPECT_EQ(copy().window_pages, 1U);
  loop.prefetch(nullptr);
  work_off();
  EXPECT_EQ(count_second(Count::pages_prefetched), 64U) << "nothing twice";
  EXPECT_TRUE(guest_->is_present(159));
  // Faults are still compared with a list that is installed.
  EXPECT_EQ(served(5), page_word(5));
  EXPECT_EQ(served(200), page_word(200));
  EXPECT_EQ(count_second(Count::faults_unlisted), 1U);
  take_over(lists);
  EXPECT_EQ(served(201), page_word(201));
  EXPECT_EQ(count_second(Count::faults_unlisted), 2U);
}

TEST_F(TakeOverTest, DoesNotRestartALongList) {
  start({}, Window::lazy());
  hot::HotList contents;
  contents.runs.resize(4096);
  contents.runs.push_back({.region = 0, .offset = 7 * hot::kSmallPage});
  const auto long_list = std::make_shared<HotFile>("long", std::move(contents));
  loop_->prefetch(long_list);
  while (mapping_->state().hot.next == 0) {
    loop_->step();
  }
  FaultLoop& loop = take_over({{"long", long_list}});
  loop.step();
  EXPECT_EQ(copy().hot.next, 4096U);
  work_off();
  EXPECT_TRUE(guest_->is_present(7));
}

TEST_F(TakeOverTest, SkipsAListThatCannotBeReadAgain) {
  start({}, Window::lazy());
  loop_->prefetch(list("gone", 0, 64));
  loop_->prefetch(list("b", 128, 32));
  take_over({{"b", list("b", 128, 32)}});
  work_off();
  EXPECT_FALSE(guest_->is_present(5));
  EXPECT_TRUE(guest_->is_present(159));
}

TEST_F(TakeOverTest, RefusesListsBeyondTheLimitOfTheState) {
  start({}, Window::lazy());
  for (uint64_t i = 0; i <= SessionState::kHotLists; ++i) {
    loop_->prefetch(list(std::to_string(i), i * 32, 32));
  }
  EXPECT_EQ(mapping_->state().hot.count, SessionState::kHotLists);
  work_off();
  EXPECT_EQ(count(Count::pages_prefetched), SessionState::kHotLists * 32);
  EXPECT_EQ(mapping_->state().hot.count, 1U);
}

TEST_F(TakeOverTest, HealsPoisonedPages) {
  start({}, Window::lazy());
  if (image_->view() == Image::View::private_copy) {
    GTEST_SKIP() << "this filesystem keeps a private copy";
  }
  ASSERT_EQ(::truncate((dir_ / "memory").c_str(), 100 * hot::kSmallPage), 0);
  if (!serve_until(std::async(std::launch::async, [this] { return guest_->is_poisoned(150); }))) {
    GTEST_SKIP() << "no POISON here";
  }
  write_memory_file(dir_ / "memory", kPages);
  FaultLoop& loop = take_over();
  loop.step();
  EXPECT_EQ(count_second(Count::pages_healed), 1U);
  EXPECT_EQ(guest_->word(150), page_word(150));
}

}  // namespace
}  // namespace pager
