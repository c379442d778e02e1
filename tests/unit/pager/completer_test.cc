// SPDX-License-Identifier: Apache-2.0
// Tests the stages of a completion, and what its client and a successor learn.
#include "pager/faults/completer.h"

#include "pager/kernel/clock.h"
#include "tests/unit/pager/idle_work_fixture.h"

namespace pager {
namespace {

using State = Completion::State;

// The VMM is not known, so its pagemap cannot be read.
class CompleterTest : public IdleWorkTest {
 protected:
  void SetUp() override {
    IdleWorkTest::SetUp();
    if (!IsSkipped()) {
      restart();
    }
  }
  // A new completer with the same state, as of a successor.
  void restart() {
    completer_.emplace(Completer::Parts{.state = state(),
                                        .uffd = guest_->uffd(),
                                        .vmm = vmm_,
                                        .table = *table_,
                                        .filler = *filler_,
                                        .cold = *cold_,
                                        .counters = counters_,
                                        .log = log_});
  }
  SessionState::CompletionProgress& state() { return mapping_->state().completion; }
  std::shared_ptr<Completion> start(uint64_t bytes_per_second = 0) {
    auto client = std::make_shared<Completion>(bytes_per_second);
    completer_->start(client);
    return client;
  }

  std::optional<Completer> completer_;
};

TEST_F(CompleterTest, FillsThenConfirmsThenDetaches) {
  EXPECT_FALSE(completer_->has_work());
  const auto client = start();
  EXPECT_TRUE(completer_->has_work());
  EXPECT_EQ(completer_->piece(kPiece), Stop::done);
  EXPECT_EQ(installed(), 8U);
  EXPECT_EQ(state().next, 8U);
  while (state().stage == CompletionStage::filling) {
    completer_->piece(kPiece);
  }
  EXPECT_EQ(state().stage, CompletionStage::confirming);
  EXPECT_EQ(state().next, 0U);
  EXPECT_EQ(installed(), kPages);
  EXPECT_FALSE(completer_->detached());
  work_off(*completer_);
  EXPECT_TRUE(completer_->detached());
  EXPECT_EQ(client->state(), State::done);
  EXPECT_TRUE(guest_->remove(9, 1).get()) << "no thread has to read the removal";
}

TEST_F(CompleterTest, NeverWaitsForTheDisk) {
  if (!make_cold()) {
    GTEST_SKIP() << "this filesystem keeps the pages of a file in memory";
  }
  const auto client = start();
  EXPECT_EQ(completer_->piece(kPiece), Stop::done);
  EXPECT_EQ(installed(), 0U) << "another thread reads them";
  EXPECT_GT(completer_->due_ns(), 0U);
  work_off(*completer_);
  EXPECT_EQ(client->state(), State::done);
  EXPECT_EQ(guest_->word(700), page_word(700));
}

TEST_F(CompleterTest, NeverInstallsRemovedPages) {
  table_->mark_removed(guest_->address(0), guest_->address(16));
  start();
  work_off(*completer_);
  EXPECT_EQ(installed(), kPages - 16);
  EXPECT_EQ(guest_->word(15), 0U);
}

TEST_F(CompleterTest, ASuccessorContinuesWithTheRate) {
  const auto client = start(kPiece);  // one piece a second
  completer_->piece(kPiece);
  EXPECT_GT(completer_->due_ns(), monotonic_ns()) << "the rate";
  completer_->piece(kPiece);
  EXPECT_EQ(installed(), 8U);
  restart();
  EXPECT_TRUE(completer_->has_work());
  completer_->piece(kPiece);
  EXPECT_EQ(installed(), 16U);
  EXPECT_GT(completer_->due_ns(), monotonic_ns());
  EXPECT_EQ(client->state(), State::running) << "its client was of the predecessor";
}

TEST_F(CompleterTest, AnotherRequestSupersedesTheFirst) {
  const auto first = start(kPiece);
  completer_->piece(kPiece);
  const auto second = start();
  EXPECT_EQ(first->state(), State::failed);
  EXPECT_EQ(completer_->due_ns(), 0U);
  work_off(*completer_);
  EXPECT_EQ(second->state(), State::done);
}

TEST_F(CompleterTest, ReportsAPauseToItsClient) {
  completer_->pause();
  completer_->resume();
  EXPECT_FALSE(completer_->has_work());
  const auto client = start();
  completer_->pause();
  EXPECT_EQ(client->state(), State::paused);
  completer_->resume();
  EXPECT_EQ(client->state(), State::running);
}

TEST_F(CompleterTest, UnreadablePagesFailIt) {
  if (!cut_image_at(20)) {
    GTEST_SKIP() << "this filesystem keeps a private copy";
  }
  const auto client = start();
  work_off(*completer_);
  EXPECT_FALSE(completer_->detached());
  EXPECT_EQ(state().stage, CompletionStage::none);
  EXPECT_EQ(client->state(), State::failed);
  EXPECT_NE(client->why().find("cannot be read"), std::string::npos) << client->why();
}

TEST_F(CompleterTest, SkipsPagesThatAreNoLongerRegistered) {
  ASSERT_EQ(uffd_unregister(guest_->uffd(), guest_->address(4), 2 * hot::kSmallPage), 0);
  const auto client = start();
  EXPECT_EQ(completer_->piece(kPiece), Stop::done);
  EXPECT_EQ(count(Count::pages_gone), 2U);
  work_off(*completer_);
  EXPECT_EQ(client->state(), State::done);
  EXPECT_EQ(guest_->word(6), page_word(6));
}

TEST_F(CompleterTest, ARemovalInProgressStopsAPieceWhichIsThenRepeated) {
  const auto client = start();
  begin_removal(500);
  EXPECT_EQ(completer_->piece(kPiece), Stop::again);
  EXPECT_EQ(state().next, 0U);
  finish_removal();
  work_off(*completer_);
  EXPECT_EQ(client->state(), State::done);
}

}  // namespace
}  // namespace pager
