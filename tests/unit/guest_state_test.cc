// The derived state, from every kind of snapshot directory and of process.
#include "meta/guest_state.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/process.h"
#include "tests/unit/fake_guest.h"
#include "tests/unit/scratch_dir.h"
#include "tests/unit/vmstate_writer.h"

namespace {

namespace fs = std::filesystem;
using meta::State;

class GuestStateTest : public testing::Test {
 protected:
  GuestStateTest() { make_guest(store, "g", R"({"Id":"g"})"); }

  // A snapshot of 2 MiB, whole unless `memory_bytes` says otherwise.
  void write_snapshot(uintmax_t memory_bytes = 2 << 20) {
    fs::create_directories(snapshot());
    std::ofstream(store.state_path("g"), std::ios::binary) << make_state({.mem_size_mib = 2});
    std::ofstream memory(store.memory_path("g"));
    memory.close();
    fs::resize_file(store.memory_path("g"), memory_bytes);
  }
  fs::path snapshot() const { return fs::path(store.state_path("g")).parent_path(); }

  meta::GuestState state(const std::string& json = R"({"Id":"g"})") const {
    return meta::derive_state(store, "g", meta::Metadata::parse(json, "m"));
  }
  void expect_broken(const std::string& why) const {
    const meta::GuestState found = state();
    EXPECT_EQ(found.state, State::broken);
    EXPECT_NE(found.reason.find(why), std::string::npos) << found.reason;
  }

  ScratchDir dir;
  base::Store store{dir.path()};
};

TEST_F(GuestStateTest, WithoutASnapshotIsStopped) {
  EXPECT_EQ(state().state, State::stopped);
  fs::create_directories(snapshot());
  EXPECT_EQ(state().state, State::stopped);
}

TEST_F(GuestStateTest, WithAWholeSnapshotIsStandbyOrTemplate) {
  write_snapshot();
  EXPECT_EQ(state().state, State::standby);
  EXPECT_EQ(state().reason, "");
  EXPECT_EQ(state(R"({"IsTemplate":true})").state, State::template_);
}

TEST_F(GuestStateTest, WithAnIncompleteSnapshotIsBroken) {
  write_snapshot((2 << 20) - 1);
  expect_broken("its memory file has 2097151 bytes, but its state file says 2 MiB");
  fs::resize_file(store.memory_path("g"), 4 << 20);
  expect_broken("its memory file has 4 MiB, but its state file says 2 MiB");
  fs::remove(store.memory_path("g"));
  expect_broken("it has no memory file");
  fs::remove(store.state_path("g"));
  write_text(snapshot() / ".memory.snapfork-tmp", "half");
  expect_broken("it has no state file");
}

TEST_F(GuestStateTest, WithADamagedStateFileIsBroken) {
  write_snapshot();
  std::string bytes = make_state({.mem_size_mib = 2});
  bytes[bytes.size() / 2] ^= 1;
  write_text(store.state_path("g"), bytes);
  expect_broken("the CRC of its state file is wrong");
  write_text(store.state_path("g"), "");
  expect_broken("it is empty");
  write_text(store.state_path("g"), "something else");
  expect_broken("does not start as");
}

TEST_F(GuestStateTest, FlaggedAsATemplateWithoutASnapshotIsBroken) {
  EXPECT_EQ(state(R"({"IsTemplate":true})").state, State::broken);
}

TEST_F(GuestStateTest, WithCompressedMemoryIsNotBroken) {
  write_snapshot();
  fs::rename(store.memory_path("g"), snapshot() / "memory.zst");
  const meta::GuestState found = state();
  EXPECT_EQ(found.state, State::standby);
  EXPECT_EQ(found.snapshot.compressed, "memory.zst");
  EXPECT_THROW(meta::require_whole_snapshot(found, "g", "fork"), base::Refused);
}

TEST_F(GuestStateTest, KnowsThatHotPlugMemoryLiesBehindTheRest) {
  write_snapshot(4 << 20);
  std::ofstream(store.state_path("g"), std::ios::binary)
      << make_state({.mem_size_mib = 2, .hotplug_bytes = 2 << 20});
  EXPECT_EQ(state().state, State::standby);
}

TEST_F(GuestStateTest, IsRunningWhileItsProcessLives) {
  write_snapshot();
  const std::string pid = std::to_string(::getpid());
  const std::string start = std::to_string(base::process_start_time(::getpid()).value());
  EXPECT_EQ(state(R"({"HypervisorPID":)" + pid + R"(,"HypervisorStartTime":)" + start + "}").state,
            State::running);
  // The number was given to another process since.
  EXPECT_EQ(state(R"({"HypervisorPID":)" + pid + R"(,"HypervisorStartTime":1})").state,
            State::standby);
  EXPECT_EQ(state(R"({"HypervisorPID":null,"HypervisorStartTime":)" + start + "}").state,
            State::standby);
  EXPECT_EQ(state(R"({"HypervisorPID":999999999,"HypervisorStartTime":1})").state, State::standby);
  EXPECT_EQ(state(R"({"HypervisorPID":-1})").state, State::standby);
  // Without a start time it cannot be told: then it counts as alive.
  EXPECT_EQ(state(R"({"HypervisorPID":)" + pid + "}").state, State::running);
}

}  // namespace
