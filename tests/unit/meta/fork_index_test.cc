// SPDX-License-Identifier: Apache-2.0
// Tests fork_index: it may over-count, never under-counts, and is checked against the forks.
#include "meta/forks/fork_index.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "base/error.h"
#include "meta/guest/fork_relation.h"
#include "meta/guest/guest.h"
#include "tests/unit/meta/fake_guest.h"
#include "tests/unit/scratch_dir.h"

namespace {

namespace fs = std::filesystem;
using meta::ForkState;

class ForkIndexTest : public testing::Test {
 protected:
  // "a1=live b2=absent"
  std::string index(const std::string& id = "base") {
    return describe(meta::read_fork_index(store, id));
  }
  std::string scan(const std::string& id = "base") {
    return describe(meta::scan_for_forks(store, id));
  }
  static std::string describe(const std::vector<meta::ForkRecord>& records) {
    std::string text;
    for (const meta::ForkRecord& record : records) {
      text += text.empty() ? "" : " ";
      text += record.id + "=" +
              (record.state == ForkState::live      ? "live"
               : record.state == ForkState::absent  ? "absent"
               : record.state == ForkState::foreign ? "foreign"
                                                    : "unreadable");
      EXPECT_EQ(record.problem.empty(), record.state != ForkState::unreadable);
    }
    return text;
  }
  void add(std::vector<std::string> ids) { meta::add_fork_index_entries(store, "base", ids); }

  const ScratchDir dir;
  const store::Store store{dir.path()};
};

TEST_F(ForkIndexTest, NoIndexMeansNoForks) {
  EXPECT_EQ(index(), "");
  make_template(store, "base");
  EXPECT_EQ(index(), "");
  EXPECT_FALSE(meta::has_fork_index(store, "base"));
}

TEST_F(ForkIndexTest, EachEntryIsComparedWithTheForksOwnMetadata) {
  make_template(store, "base");
  make_fork(store, "c-live", "base");
  make_fork(store, "b-foreign", "other");
  make_plain_guest(store, "d-plain");
  make_guest(store, "e-torn", R"({"ForkOfTemplate":"ba)");
  fs::create_directories(store.guest_dir("f-empty"));
  add({"c-live", "a-absent", "b-foreign", "d-plain", "e-torn", "f-empty"});
  EXPECT_EQ(index(),
            "a-absent=absent b-foreign=foreign c-live=live d-plain=foreign e-torn=unreadable "
            "f-empty=unreadable");
}

TEST_F(ForkIndexTest, NamesThatAreNotIdsAreSkipped) {
  make_template(store, "base");
  add({"a"});
  write_text(store.fork_index_dir("base") + "/.b.snapfork-tmp", "");
  write_text(store.fork_index_dir("base") + "/two words", "");
  EXPECT_EQ(index(), "a=absent");
}

TEST_F(ForkIndexTest, AnUnreadableIndexIsAnErrorAndNotEmpty) {
  make_template(store, "base");
  fs::create_directories(store.template_dir("base"));
  write_text(store.fork_index_dir("base"), "a file");
  EXPECT_THROW(meta::read_fork_index(store, "base"), std::system_error);
  EXPECT_THROW(add({"a"}), std::system_error);
}

TEST_F(ForkIndexTest, AddKeepsExistingEntriesAndDropAcceptsMissingOnes) {
  make_template(store, "base");
  add({"a", "b"});
  add({"b", "c"});
  EXPECT_EQ(index(), "a=absent b=absent c=absent");
  meta::drop_fork_index_entries(store, "base", std::vector<std::string>{"a", "x", "b"});
  EXPECT_EQ(index(), "c=absent");
  meta::drop_fork_index_entries(store, "nobody", std::vector<std::string>{"a"});
  EXPECT_TRUE(meta::has_fork_index(store, "base"));
}

TEST_F(ForkIndexTest, AFailedAddRemovesTheEntriesThatItMade) {
  make_template(store, "base");
  add({"a"});
  EXPECT_THROW(add({"a", "b", std::string(300, 'x')}), std::system_error);
  EXPECT_EQ(index(), "a=absent");
}

TEST_F(ForkIndexTest, AMissingGuestGetsNoIndex) {
  EXPECT_THROW(add({"a"}), std::system_error);
  EXPECT_FALSE(fs::exists(store.guest_dir("base")));
}

TEST_F(ForkIndexTest, TheFirstIndexOfATemplateOfAnotherProgramHasTheExistingForks) {
  make_template(store, "base");
  make_fork(store, "old1", "base");
  make_fork(store, "old2", "base");
  make_fork(store, "else", "other");
  make_guest(store, "torn", "{");
  EXPECT_EQ(scan(), "old1=live old2=live torn=unreadable");
  // The leftover of a killed create_fork_index is not an index.
  fs::create_directories(store.template_dir("base") + "/.forks.0.snapfork-tmp");
  EXPECT_FALSE(meta::has_fork_index(store, "base"));
  add({"new"});
  EXPECT_EQ(index(), "new=absent old1=live old2=live torn=unreadable");
}

TEST_F(ForkIndexTest, TheIndexOfANewTemplateStartsEmptyWithoutAScan) {
  make_plain_guest(store, "base");
  make_guest(store, "torn", "{");
  meta::create_fork_index(store, "base");
  EXPECT_TRUE(meta::has_fork_index(store, "base"));
  EXPECT_EQ(index(), "");
}

TEST_F(ForkIndexTest, ThreadsThatMakeTheIndexAtTheSameTimeLoseNoEntry) {
  make_template(store, "base");
  make_fork(store, "old", "base");
  constexpr int kThreads = 8;
  std::array<std::thread, kThreads> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.at(static_cast<size_t>(i)) =
        std::thread([this, i] { add({"new" + std::to_string(i)}); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(meta::read_fork_index(store, "base").size(), kThreads + 1U);
  size_t names = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(store.template_dir("base"))) {
    ++names;
  }
  EXPECT_EQ(names, 1U) << "temporary directories are left";
}

TEST(ForkRelationTest, ReadsTheOutermostKeysOnly) {
  const ScratchDir dir;
  const store::Store store(dir.path());
  make_guest(store, "g",
             R"({"Id":"g","IsTemplate":null,"x":{"IsTemplate":7,"ForkOfTemplate":[1]},"n":1.50,)"
             R"("l":[{"ForkOfTemplate":"no"}],"big":1e400,"Fork\u004ffTemplate":"base"})");
  const auto keys = meta::read_fork_relation(store, "g");
  ASSERT_TRUE(keys);
  EXPECT_FALSE(keys->is_template);
  EXPECT_EQ(keys->fork_of_template, "base");
  make_guest(store, "g", R"({"Id":"g","ForkOfTemplate":null,"IsTemplate":true})");
  EXPECT_EQ(meta::read_fork_relation(store, "g")->fork_of_template, "");
  EXPECT_TRUE(meta::read_fork_relation(store, "g")->is_template);
  EXPECT_FALSE(meta::read_fork_relation(store, "absent"));
}

TEST(ForkRelationTest, TextThatIsNotAnObjectWithTheRightTypesIsBadData) {
  for (const char* text : {"",
                           " ",
                           "null",
                           "true",
                           "7",
                           "\"x\"",
                           "[]",
                           "[{\"IsTemplate\":true}]",
                           "{",
                           "{}x",
                           R"({"IsTemplate":1})",
                           R"({"IsTemplate":"true"})",
                           R"({"IsTemplate":[true]})",
                           R"({"IsTemplate":{}})",
                           R"({"Id":7})",
                           R"({"ForkOfTemplate":false})",
                           R"({"ForkOfTemplate":["base"]})",
                           R"({"ForkOfTemplate":{"a":1}})",
                           R"({"ForkOfTemplate":"a","ForkOfTemplate":"b"})",
                           "{\"Name\":\"\xff\"}",
                           "\xef\xbb\xbf{}"}) {
    EXPECT_THROW(meta::parse_fork_relation(text, "g"), base::BadData) << text;
  }
}

TEST(ForkRelationTest, HostileSizesAndDepthsAreRefused) {
  const ScratchDir dir;
  const store::Store store(dir.path());
  make_guest(store, "g", "{}" + std::string(16 << 20U, ' '));
  EXPECT_THROW(meta::read_fork_relation(store, "g"), base::BadData);
  const size_t depth = 1 << 20U;
  make_guest(store, "g", "{\"x\":" + std::string(depth, '[') + std::string(depth, ']') + "}");
  EXPECT_THROW(meta::read_fork_relation(store, "g"), base::BadData);
  make_guest(store, "g", "{\"x\":" + std::string(depth, '['));
  EXPECT_THROW(meta::read_fork_relation(store, "g"), base::BadData);
}

TEST(ForkRelationTest, AGuestWithoutReadableMetadataIsNotAbsent) {
  const ScratchDir dir;
  const store::Store store(dir.path());
  fs::create_directories(store.guest_dir("empty"));
  EXPECT_THROW(meta::read_fork_relation(store, "empty"), std::system_error);
  fs::create_directories(store.metadata_path("dir"));
  EXPECT_THROW(meta::read_fork_relation(store, "dir"), base::BadData);
  write_text(store.guest_dir("file"), "");
  EXPECT_THROW(meta::read_fork_relation(store, "file"), base::BadData);
  fs::create_symlink("nowhere", store.guest_dir("dangling"));
  EXPECT_THROW(meta::read_fork_relation(store, "dangling"), base::BadData);
}

TEST(ForkRelationTest, AnotherNameForAGuestIsNotAGuest) {
  const ScratchDir dir;
  const store::Store store(dir.path());
  make_template(store, "base");
  fs::create_directory_symlink("base", store.guest_dir("link"));
  fs::copy(store.guest_dir("base"), store.guest_dir("copy"), fs::copy_options::recursive);
  make_guest(store, "nameless", R"({"IsTemplate":true})");
  make_guest(store, "metalink", "{}");
  fs::remove(store.metadata_path("metalink"));
  fs::create_symlink("../base/metadata.json", store.metadata_path("metalink"));
  for (const char* id : {"link", "copy", "nameless", "metalink"}) {
    EXPECT_THROW(meta::read_fork_relation(store, id), base::BadData) << id;
    EXPECT_TRUE(meta::guest_exists(store, id)) << id;
  }
  for (const char* id : {"link", "copy", "nameless"}) {
    EXPECT_THROW(meta::require_guest(store, id), base::BadData) << id;
  }
  EXPECT_THROW(meta::require_guest(store, "absent"), base::Refused);
  make_guest(store, "torn", "{");
  EXPECT_NO_THROW(meta::require_guest(store, "torn"));
  EXPECT_EQ(meta::list_guests(store),
            (std::vector<std::string>{"base", "copy", "metalink", "nameless", "torn"}));
}

TEST_F(ForkIndexTest, AnIndexReachedThroughAnotherNameHasTheSameForks) {
  make_template(store, "base");
  make_fork(store, "f", "base");
  make_fork(store, "other", "elsewhere");
  add({"f", "other"});
  fs::create_directory_symlink("base", store.guest_dir("alias"));
  EXPECT_EQ(meta::inspect_fork(store, "alias", "f").state, ForkState::live);
  EXPECT_EQ(meta::inspect_fork(store, "alias", "other").state, ForkState::foreign);
  EXPECT_THROW(meta::read_fork_index(store, "alias"), base::BadData);
  EXPECT_THROW(meta::drop_fork_index_entries(store, "alias", std::vector<std::string>{"f"}),
               base::BadData);
  EXPECT_EQ(index(), "f=live other=foreign");
}

}  // namespace
