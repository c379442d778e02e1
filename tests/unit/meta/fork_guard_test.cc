// SPDX-License-Identifier: Apache-2.0
// Tests fork_guard: which guests may be deleted, demoted and restored; unknown means refused.
#include "meta/forks/fork_guard.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "meta/forks/fork_index.h"
#include "store/id_lock.h"
#include "tests/unit/meta/fake_guest.h"
#include "tests/unit/scratch_dir.h"

namespace {

using meta::GuardAnswer;
using meta::Intent;
using Ids = std::vector<std::string>;

class ForkGuardTest : public testing::Test {
 protected:
  ForkGuardTest() { make_template(store, "base"); }
  GuardAnswer ask(Intent intent, bool holds_exclusive = false, const std::string& id = "base") {
    return meta::guard(store, id, intent, holds_exclusive);
  }
  void enter(const Ids& ids) { meta::add_fork_index_entries(store, "base", ids); }

  const ScratchDir dir;
  const store::Store store{dir.path()};
};

TEST_F(ForkGuardTest, ATemplateWithoutForksMayBeDeletedAndDemotedButNotRestored) {
  for (const bool index : {false, true}) {
    if (index) {
      meta::create_fork_index(store, "base");
    }
    EXPECT_TRUE(ask(Intent::remove).allowed);
    EXPECT_TRUE(ask(Intent::demote).allowed);
    EXPECT_EQ(ask(Intent::restore).reason,
              "cannot restore template 'base': a template is never restored; demote it first "
              "(snapfork demote base)");
    EXPECT_EQ(ask(Intent::unseal).reason,
              "cannot unseal template 'base': a template stays sealed; demote it first (snapfork "
              "demote base)");
  }
}

TEST_F(ForkGuardTest, LiveForksForbidDeleteDemoteAndRestoreAndAreNamed) {
  for (const char* id : {"a1", "b7", "c2"}) {
    make_fork(store, id, "base");
  }
  enter({"c2", "b7", "a1"});
  for (const bool alone : {false, true}) {
    const GuardAnswer answer = ask(Intent::remove, alone);
    EXPECT_FALSE(answer.allowed);
    EXPECT_EQ(answer.reason,
              "cannot delete template 'base': 3 forks live (a1, b7, c2); delete them first");
    EXPECT_EQ(answer.forks, (Ids{"a1", "b7", "c2"}));
    EXPECT_EQ(ask(Intent::demote, alone).reason,
              "cannot demote template 'base': 3 forks live (a1, b7, c2); delete them first");
    EXPECT_EQ(ask(Intent::restore, alone).reason,
              "cannot restore template 'base': 3 forks live (a1, b7, c2); delete them first, then "
              "demote it");
  }
}

TEST_F(ForkGuardTest, AThousandForksMakeAShortMessageAndAWholeList) {
  Ids ids;
  for (int i = 0; i < 1000; ++i) {
    ids.push_back("f" + std::to_string(i));
  }
  enter(ids);
  const GuardAnswer answer = ask(Intent::remove);
  EXPECT_EQ(answer.forks.size(), 1000U);
  EXPECT_LT(answer.reason.size(), 150U);
  EXPECT_NE(answer.reason.find("1000 forks being made or left over (f0, f1, "), std::string::npos);
}

TEST_F(ForkGuardTest, AnEntryWithoutItsForkCountsUnlessTheExclusiveLockIsHeld) {
  make_fork(store, "elsewhere", "other");
  enter({"gone", "elsewhere"});
  EXPECT_EQ(ask(Intent::remove).forks, (Ids{"elsewhere", "gone"}));
  EXPECT_EQ(ask(Intent::remove).pending, (Ids{"elsewhere", "gone"}));
  const GuardAnswer alone = ask(Intent::remove, true);
  EXPECT_TRUE(alone.allowed);
  EXPECT_EQ(alone.stale, (Ids{"elsewhere", "gone"}));
  EXPECT_TRUE(alone.forks.empty() && alone.pending.empty());
}

TEST_F(ForkGuardTest, OnlyAnInheritedExclusiveLockMakesEntriesStale) {
  enter({"gone"});
  for (const store::LockMode mode : {store::LockMode::shared, store::LockMode::exclusive}) {
    const auto lock = store::IdLock::acquire(store, "base", mode, base::Deadline::never());
    ::setenv("SNAPFORK_LOCK_FD", std::to_string(lock->fd()).c_str(), 1);
    EXPECT_EQ(ask(Intent::remove).allowed, mode == store::LockMode::exclusive);
    ::unsetenv("SNAPFORK_LOCK_FD");
    EXPECT_FALSE(ask(Intent::remove).allowed);
  }
}

TEST_F(ForkGuardTest, AnUnreadableForkCountsAsLiveEvenUnderTheExclusiveLock) {
  make_guest(store, "torn", "{");
  enter({"torn"});
  const GuardAnswer answer = ask(Intent::remove, true);
  EXPECT_EQ(answer.unreadable, Ids{"torn"});
  EXPECT_EQ(answer.reason,
            "cannot delete template 'base': 1 fork unreadable (torn), which may be live; delete it "
            "first");
}

TEST_F(ForkGuardTest, ATemplateOfAnotherProgramIsCountedByAScan) {
  make_fork(store, "old", "base");
  EXPECT_EQ(ask(Intent::remove, true).forks, Ids{"old"});
  make_guest(store, "torn", "{");
  EXPECT_EQ(ask(Intent::demote, true).unreadable, Ids{"torn"});
}

TEST_F(ForkGuardTest, AGuestThatIsNotATemplateMayBeDeletedAndRestoredButNotDemoted) {
  make_plain_guest(store, "plain");
  EXPECT_TRUE(ask(Intent::remove, false, "plain").allowed);
  EXPECT_TRUE(ask(Intent::restore, false, "plain").allowed);
  EXPECT_TRUE(ask(Intent::unseal, false, "plain").allowed);
  EXPECT_EQ(ask(Intent::demote, false, "plain").reason,
            "cannot demote 'plain': it is not a template");
}

TEST_F(ForkGuardTest, ForksForbidEvenIfIsTemplateIsNotSet) {
  make_fork(store, "a1", "base");
  enter({"a1"});
  make_plain_guest(store, "base");
  EXPECT_FALSE(ask(Intent::remove, true).allowed);
  EXPECT_FALSE(ask(Intent::restore, true).allowed);
  EXPECT_FALSE(ask(Intent::unseal, true).allowed);
}

TEST_F(ForkGuardTest, UnreadableMetadataForbidAllButDeleteWithoutForks) {
  make_guest(store, "torn", "{");
  make_guest(store, "torn2", "{");
  EXPECT_TRUE(ask(Intent::remove, true, "torn").allowed);
  EXPECT_FALSE(ask(Intent::demote, true, "torn").allowed);
  EXPECT_NE(ask(Intent::restore, true, "torn").reason.find("it may be a template"),
            std::string::npos);
  make_fork(store, "a1", "torn");
  EXPECT_EQ(ask(Intent::remove, true, "torn").forks, Ids{"a1"});
}

TEST_F(ForkGuardTest, AnUnknownGuestIsRefusedWithItsId) {
  try {
    ask(Intent::remove, false, "nobody");
    FAIL();
  } catch (const base::Refused& error) {
    EXPECT_NE(std::string(error.what()).find("no such guest 'nobody'"), std::string::npos);
  }
  EXPECT_THROW(ask(Intent::remove, false, "../x"), base::UsageError);
  EXPECT_THROW(meta::guard(store::Store(dir / "absent"), "x", Intent::remove), std::system_error);
}

TEST_F(ForkGuardTest, AnUnreadableIndexIsAnErrorAndNotPermission) {
  std::filesystem::create_directories(store.template_dir("base"));
  write_text(store.fork_index_dir("base"), "");
  EXPECT_THROW(ask(Intent::remove, true), std::system_error);
}

}  // namespace
