// SPDX-License-Identifier: Apache-2.0
// Tests derive_state with each kind of snapshot directory and process.
#include "meta/guest/guest_state.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/unix_listener.h"
#include "base/unix_socket.h"
#include "meta/guest/guest_vmm.h"
#include "store/session_name.h"
#include "store/vmm_record.h"
#include "tests/unit/child_process.h"
#include "tests/unit/meta/fake_guest.h"
#include "tests/unit/meta/vmstate_writer.h"
#include "tests/unit/scratch_dir.h"

namespace {

namespace fs = std::filesystem;
using meta::State;

class GuestStateTest : public testing::Test {
 protected:
  GuestStateTest() { make_guest(store, "g", R"({"Id":"g"})"); }

  // Makes a snapshot of 2 MiB with a memory file of `memory_bytes`.
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
  store::Store store{dir.path()};
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
  expect_broken("its memory file has 2097151 bytes, but its state file requires 2 MiB");
  fs::resize_file(store.memory_path("g"), 4 << 20);
  expect_broken("its memory file has 4 MiB, but its state file requires 2 MiB");
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
  expect_broken("does not start with the magic number");
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
  EXPECT_THROW(meta::require_whole_snapshot(found, "g", "fork", meta::Force::no), base::Refused);
}

TEST_F(GuestStateTest, AcceptsHotPlugMemoryAfterTheBootMemory) {
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
  // Another process has the pid now.
  EXPECT_EQ(state(R"({"HypervisorPID":)" + pid + R"(,"HypervisorStartTime":1})").state,
            State::standby);
  EXPECT_EQ(state(R"({"HypervisorPID":null,"HypervisorStartTime":)" + start + "}").state,
            State::standby);
  EXPECT_EQ(state(R"({"HypervisorPID":999999999,"HypervisorStartTime":1})").state, State::standby);
  EXPECT_EQ(state(R"({"HypervisorPID":-1})").state, State::standby);
  // Without a start time the process counts as alive.
  EXPECT_EQ(state(R"({"HypervisorPID":)" + pid + "}").state, State::running);
  // Pids and start times restart at each boot.
  EXPECT_EQ(state(R"({"HypervisorPID":)" + pid + R"(,"HypervisorStartTime":)" + start +
                  R"(,"HypervisorBootID":"another"})")
                .state,
            State::standby);
}

TEST_F(GuestStateTest, IsRunningWhileAProcessListensOnItsApiSocket) {
  write_snapshot();
  const std::string socket = dir / "fc.sock";
  const std::string json = R"({"SocketPath":")" + socket + "\"}";
  EXPECT_EQ(state(json).state, State::standby);
  {
    const base::UnixListener listener(socket, base::SocketClaim::directory_is_ours);
    const meta::GuestState found = state(json);
    EXPECT_EQ(found.state, State::running);
    EXPECT_NE(found.reason.find("listens on its API socket"), std::string::npos) << found.reason;
  }
  EXPECT_EQ(state(json).state, State::standby);
}

TEST_F(GuestStateTest, IsRunningWhileAProcessListensOnItsVsockSocket) {
  write_snapshot();
  ::setenv("SNAPFORK_PAGER", (dir / "run/p.sock").c_str(), 1);
  fs::create_directories(dir / "run/v");
  const std::string near = store.guest_dir("g") + "/vsock.sock";
  const std::string far =
      dir / ("run/v/" + store::session_name("g", store.guest_dir("g")) + ".sock");
  for (const std::string& socket : {near, far}) {
    EXPECT_EQ(state().state, State::standby);
    const base::UnixListener listener(socket, base::SocketClaim::directory_is_ours);
    const meta::GuestState found = state();
    EXPECT_EQ(found.state, State::running);
    EXPECT_NE(found.reason.find("listens on its vsock socket"), std::string::npos) << found.reason;
  }
  EXPECT_EQ(state().state, State::standby);
}

TEST_F(GuestStateTest, IsRunningWhileAPageServerHasARecordOfALiveVmm) {
  write_snapshot();
  ::setenv("SNAPFORK_PAGER", (dir / "run/p.sock").c_str(), 1);
  const std::string sessions = dir / "run/s";
  fs::create_directories(sessions);
  const std::string self = std::to_string(::getpid()) + " " +
                           std::to_string(base::process_start_time(::getpid()).value()) + "\n";
  const std::string session = store::session_name("g", store.guest_dir("g"));
  // A guest of another store with this id, and a session whose name has the same prefix.
  write_text(sessions + "/g@00000000.vmm", self);
  write_text(sessions + "/" + session + "1.vmm", self);
  EXPECT_EQ(state().state, State::standby);
  const std::string hung = "." + std::to_string(::getpid());  // of a killed server
  const std::string full = store::vmm_record_text(base::identify_process(::getpid()));
  for (const std::string& end :
       {std::string(".vmm"), std::string(".old-3.vmm"), hung + ".vmm", hung + "~2.vmm"}) {
    const std::string record = sessions + "/" + session + end;
    for (const char* text : {self.c_str(), full.c_str(), "0 0\n", "", "no number"}) {
      write_text(record, text);
      EXPECT_EQ(state().state, State::running) << end << ": " << text;
    }
    write_text(record, std::to_string(::getpid()) + " 7\n");
    EXPECT_EQ(state().state, State::standby);
    // A process with this pid and start time exists here, but the record is for another one.
    base::ProcessIdentity other_boot = base::identify_process(::getpid());
    other_boot.boot_id = "00000000-0000-0000-0000-000000000000";
    write_text(record, store::vmm_record_text(other_boot));
    EXPECT_EQ(state().state, State::standby);
    fs::remove(record);
  }
  // In hypeman's layout the name of the session is the id of the guest.
  fs::create_directories(store.root() + "/uffd/1.0/sessions");
  write_text(store.root() + "/uffd/1.0/sessions/g.1.vmm", self);  // of a guest "g.1"
  EXPECT_EQ(state().state, State::standby);
  write_text(store.root() + "/uffd/1.0/sessions/g.vmm", self);
  EXPECT_EQ(state().state, State::running);
  ::unsetenv("SNAPFORK_PAGER");
}

TEST_F(GuestStateTest, IsRunningWhileADiskIsOpenForWriting) {
  write_snapshot();
  fs::create_directories(store.guest_dir("g") + "/vol-overlays");
  const std::string listed = R"({"snapfork":{"disks":[{"file":"a.raw","embedded_path":"/a"}]}})";
  for (const std::string file : {"a.raw", "vol-overlays/b.raw"}) {
    const std::string path = store.guest_dir("g") + "/" + file;
    write_text(path, "disk");
    EXPECT_EQ(state().state, State::standby);
    const base::Fd reader = base::open_file(path, O_RDONLY);
    EXPECT_EQ(state().state, State::standby);
    const base::Fd writer = base::open_file(path, O_RDWR);
    EXPECT_EQ(state().state, State::running);
    EXPECT_NE(state().reason.find(file), std::string::npos) << state().reason;
    EXPECT_EQ(state(listed).state, file == "a.raw" ? State::running : State::standby);
  }
}

TEST_F(GuestStateTest, WithoutDisksIsRunningWhileItsMemoryIsOpen) {
  write_snapshot();
  const auto open_memory = [](const std::string& path) {
    return [path](const std::function<void()>& ready) {
      // Programs of this suite and the test program do not count.
      ::execlp("tail", "tail", "-n", "1", "--follow", path.c_str(), nullptr);
      ready();
    };
  };
  const ChildProcess reader(open_memory(store.memory_path("g")));
  while (state().state != State::running) {
    ::sched_yield();
  }
  EXPECT_NE(state().reason.find("(tail) has "), std::string::npos) << state().reason;
  // Another link may belong to another guest, so the opened path decides.
  make_guest(store, "h", R"({"Id":"h"})");
  fs::create_directories(fs::path(store.memory_path("h")).parent_path());
  fs::create_hard_link(store.memory_path("g"), store.memory_path("h"));
  EXPECT_EQ(state().state, State::running);
  EXPECT_FALSE(meta::VmmFinder(store).find("h", meta::Metadata::parse("{}", "m")));
  // If the guest has a disk, the disk decides, because a VMM has its disks open.
  write_text(store.guest_dir("g") + "/disk", "disk");
  EXPECT_EQ(state().state, State::standby);
}

}  // namespace
