// SPDX-License-Identifier: Apache-2.0
// The records of VMMs that outlive a killed page server.
#include "store/vmm_record.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"
#include "pager/serve/vmm_records.h"
#include "tests/unit/scratch_dir.h"

namespace {

constexpr const char* kOtherBoot = "00000000-0000-0000-0000-000000000000";

class VmmRecordTest : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(dir_ / name) << text;
    return dir_ / name;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(dir_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool lives(const base::ProcessIdentity& vmm) const {
    return pager::VmmRecords::names_living_process(write("r.vmm", store::vmm_record_text(vmm)));
  }

  ScratchDir dir_;
  base::ProcessIdentity self_ = base::identify_process(::getpid());
};

TEST_F(VmmRecordTest, ARecordIdentifiesOneProcess) {
  const auto read = store::read_vmm_record(write("a.vmm", store::vmm_record_text(self_)));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->pid, self_.pid);
  EXPECT_EQ(read->start_time, self_.start_time);
  EXPECT_EQ(read->boot_id, self_.boot_id);
  EXPECT_EQ(read->pid_namespace, self_.pid_namespace);
  EXPECT_TRUE(store::find_recorded_vmm(*read).is_certain);
}

TEST_F(VmmRecordTest, ARecordOfAnOlderServerIsRead) {
  const std::string pid = std::to_string(self_.pid);
  const std::string path = write("a.vmm", pid + " " + std::to_string(self_.start_time) + "\n");
  EXPECT_TRUE(store::find_recorded_vmm(*store::read_vmm_record(path)).is_certain);
  EXPECT_TRUE(pager::VmmRecords::names_living_process(path));
  EXPECT_FALSE(pager::VmmRecords::names_living_process(write("a.vmm", pid + " 7\n")));
  EXPECT_FALSE(store::read_vmm_record(dir_ / "absent"));
  for (const char* text : {"", "x", "12", "12 ", "-3 4", "12 x\n"}) {
    EXPECT_THROW(store::read_vmm_record(write("a.vmm", text)), base::BadData) << text;
    EXPECT_TRUE(pager::VmmRecords::names_living_process(dir_ / "a.vmm")) << text;
  }
}

TEST_F(VmmRecordTest, ARecordOfAnotherPidNamespaceMatchesNoProcessOfThisOne) {
  // The pid does not exist here, but may exist in the other namespace.
  base::ProcessIdentity other = self_;
  other.pid_namespace = "pid:[1]";
  const bool sees_all = self_.pid_namespace == "pid:[4026531836]" && ::geteuid() == 0;
  EXPECT_EQ(lives(other), !sees_all);
  EXPECT_EQ(store::find_recorded_vmm(other).pid, 0);
  EXPECT_FALSE(store::find_recorded_vmm(other).is_certain);
  other.pid = 0x3ffffff;
  EXPECT_EQ(lives(other), !sees_all);
  other.boot_id = kOtherBoot;
  EXPECT_FALSE(lives(other));
}

TEST_F(VmmRecordTest, ARecordOfAnInvisibleVmmIsAliveUntilTheNextBoot) {
  base::ProcessIdentity unseen = self_;
  unseen.pid = 0;
  unseen.start_time = 0;
  EXPECT_TRUE(lives(unseen));
  EXPECT_TRUE(pager::VmmRecords::names_living_process(write("old.vmm", "0 0\n")));
  unseen.boot_id = kOtherBoot;
  EXPECT_FALSE(lives(unseen));
}

TEST_F(VmmRecordTest, ARecordIsNotReplacedByThatOfAnotherSession) {
  pager::VmmRecords records(dir_.path());
  const std::string hangs = store::vmm_record_text(self_);
  write("a.old-5.vmm", hangs);
  write("a.vmm", "1 2\n");
  EXPECT_FALSE(records.is_free("a.old-5"));
  EXPECT_TRUE(records.is_free("a.old-6"));
  records.rename("a", "a.old-5");
  EXPECT_EQ(read("a.old-5.vmm"), hangs);
  records.rename("a", "a.old-6");
  EXPECT_EQ(read("a.old-6.vmm"), "1 2\n");
}

TEST_F(VmmRecordTest, ARecordOfAKilledServerIsKeptBesideANewSessionOfThatName) {
  pager::VmmRecords records(dir_.path());
  const std::string hangs = store::vmm_record_text(self_);
  const std::string name = "a." + std::to_string(self_.pid);
  write("a.vmm", hangs);
  write(name + ".vmm", "served");
  ASSERT_TRUE(records.write("a", {.pid = 1, .start_time = 2}));
  EXPECT_EQ(read(name + ".vmm"), "served");
  EXPECT_EQ(read(name + "~1.vmm"), hangs);
  EXPECT_EQ(pager::VmmRecords::session_of(name + "~1", self_), "a");
  EXPECT_EQ(pager::VmmRecords::session_of(name, self_), "a");
  EXPECT_EQ(pager::VmmRecords::session_of("a.7", self_), "a.7");
}

}  // namespace
