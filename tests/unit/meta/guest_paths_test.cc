// SPDX-License-Identifier: Apache-2.0
// Tests which file of a guest a path in its state stands for, and the paths of a fork's state.
#include "meta/guest/guest_paths.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "meta/vmstate/rewrite_paths.h"
#include "tests/unit/meta/fake_guest.h"
#include "tests/unit/meta/vmstate_writer.h"
#include "tests/unit/scratch_dir.h"

namespace {

using meta::GuestPaths;
using meta::GuestPlace;
using meta::Metadata;

Metadata metadata_with_disk(const std::string& path) {
  Metadata metadata;
  meta::set_disks(metadata, {{.file = "root.img", .embedded_path = path}});
  return metadata;
}

class GuestPathsTest : public ::testing::Test {
 protected:
  GuestPathsTest() : store_(scratch_.path() + "/store") {
    std::filesystem::create_directories(store_.guest_dir("a"));
    write_text(store_.guest_dir("a") + "/root.img", "disk");
  }

  GuestPlace place() const {
    return {.dir = store_.guest_dir("fork"),
            .files_dir = store_.guest_dir("a"),
            .vsock_dir = "/run/v",
            .session = "fork@00000000"};
  }

  static meta::vmstate::VmState state_of(const StatePlan& plan) {
    const std::string bytes = make_state(plan);
    meta::vmstate::VmState state = meta::vmstate::parse_vmstate(bytes, "state");
    meta::vmstate::read_devices(bytes, state);
    return state;
  }

  ScratchDir scratch_;
  store::Store store_;
};

TEST_F(GuestPathsTest, TheRecordedFileIsFoundByTheExactPath) {
  for (const char* path : {"/srv/root.img", "root.img", "./root.img", "/x/../y", "/a//b", "/"}) {
    const GuestPaths paths(metadata_with_disk(path));
    EXPECT_EQ(paths.file_for(path), "root.img");
    EXPECT_EQ(paths.file_for(std::string(path) + "x"), std::nullopt);
  }
}

TEST_F(GuestPathsTest, OnlyAPlainNameIsTakenFromAPathOfAnotherStore) {
  const GuestPaths paths((Metadata()));
  EXPECT_EQ(paths.file_for("/x/guests/b/root.img"), "root.img");
  EXPECT_EQ(paths.file_for("/guests/b/root.img"), "root.img");
  EXPECT_EQ(paths.file_for("/x/guests/b/vol/root.img"), "vol/root.img");
  EXPECT_EQ(paths.file_for("/x/guests/guests/root.img"), "root.img");
  for (const char* path : {"/x/guests/b/../root.img",
                           "/x/guests/b/..",
                           "/x/guests/b/.",
                           "/x/guests/b//root.img",
                           "/x/guests/b/root.img/",
                           "/x/../guests/b/root.img",
                           "guests/b/root.img",
                           "/x/guests/-b/root.img",
                           "/x/guests/b",
                           "/x/guests/b/1/2/root.img",
                           "/root.img",
                           "",
                           "/",
                           "/x/guests/b/metadata.json",
                           "/x/guests/b/metadata.json.damaged-1",
                           "/x/guests/b/snapshots",
                           "/x/guests/b/snapshots/memory",
                           "/x/guests/b/template/hot.hpl",
                           "/x/guests/b/v.sock",
                           "/x/guests/b/.root.img.snapfork-tmp",
                           "/x/guests/b/r\n",
                           "/x/guests/b/r\x7f",
                           "/x/guests/b/r\xff"}) {
    EXPECT_EQ(paths.file_for(path), std::nullopt) << path;
  }
  const std::string right_to_left = std::string("\xe2\x80") + '\xae';  // U+202E
  EXPECT_EQ(paths.file_for("/x/guests/b/" + right_to_left), std::nullopt);
}

TEST_F(GuestPathsTest, AForkGetsAbsolutePathsOfItsOwnFiles) {
  StatePlan plan;
  plan.drives = {"rel.img", "/host/shared.img", "rel.img"};
  plan.read_only_drives = {1};
  plan.vsock = "./v.sock";
  plan.kernel = "/boot/vmlinux";
  Metadata metadata = metadata_with_disk("rel.img");
  metadata.set_text("VsockSocket", "/old/v.sock");
  static_cast<void>(metadata.json().set_path("snapfork.shared_files", R"(["/host/shared.img"])"));
  const auto state = state_of(plan);
  const auto paths = GuestPaths(metadata).own_paths(store_, state, place(), "cannot fork 'a'");
  const std::string dir = store_.guest_dir("fork");
  ASSERT_TRUE(paths);
  EXPECT_EQ(*paths, (std::vector<std::string>{dir + "/root.img", "/host/shared.img",
                                              dir + "/root.img", dir + "/vsock.sock"}));
  EXPECT_TRUE(meta::record_own_paths(metadata, state, *paths, dir));
  EXPECT_EQ(meta::disks_of(metadata).at(0).embedded_path, dir + "/root.img");
  EXPECT_EQ(metadata.text("VsockSocket"), dir + "/vsock.sock");
  EXPECT_FALSE(meta::record_own_paths(metadata, state, *paths, dir));
  // The kernel is not opened, so its path stays.
  const std::string bytes = make_state(plan);
  const auto rewritten = meta::vmstate::set_paths(bytes, "state", state, *paths);
  const auto after = meta::vmstate::parse_vmstate(rewritten.bytes, "state");
  EXPECT_TRUE(after.crc_ok);
  EXPECT_EQ(after.kernel_path, "/boot/vmlinux");
  EXPECT_EQ(rewritten.changes.size(), 3U);
}

TEST_F(GuestPathsTest, APathWithoutAFileIsRefusedByName) {
  StatePlan plan;
  plan.drives = {"/host/root.img"};
  const GuestPaths paths((Metadata()));
  try {
    static_cast<void>(paths.own_paths(store_, state_of(plan), place(), "cannot fork 'a'"));
    FAIL() << "it was not refused";
  } catch (const base::Refused& error) {
    EXPECT_NE(std::string(error.what()).find("names the drive '/host/root.img'"), std::string::npos)
        << error.what();
  }
}

TEST_F(GuestPathsTest, DevicesThatCannotBeReadAreRefusedUnlessTheCallerVouchesForThem) {
  meta::vmstate::VmState state;
  state.paths_problem = "they are of the future";
  Metadata metadata;
  EXPECT_THROW(static_cast<void>(GuestPaths(metadata).own_paths(store_, state, place(), "x")),
               base::Unsupported);
  static_cast<void>(metadata.json().set_path("snapfork.assume_no_paths", "true"));
  EXPECT_EQ(GuestPaths(metadata).own_paths(store_, state, place(), "x"), std::nullopt);
}

TEST_F(GuestPathsTest, ASocketPathOfMoreThan96BytesIsInTheRunDirectoryOrRefused) {
  GuestPlace place{.dir = "/" + std::string(84, 'd'),
                   .files_dir = "",
                   .vsock_dir = "/r",
                   .session = std::string(88, 's')};
  EXPECT_EQ(meta::vsock_path_of(place, "x"), place.dir + "/vsock.sock");  // 96 bytes
  EXPECT_FALSE(meta::uses_vsock_dir(place, {place.dir + "/vsock.sock"}));
  place.dir += "d";
  EXPECT_EQ(meta::vsock_path_of(place, "x"), "/r/" + place.session + ".sock");  // 96 bytes
  EXPECT_TRUE(meta::uses_vsock_dir(place, {"/r/" + place.session + ".sock"}));
  place.session += "s";
  EXPECT_THROW(static_cast<void>(meta::vsock_path_of(place, "x")), base::Refused);
  place.vsock_dir = "";
  EXPECT_THROW(static_cast<void>(meta::vsock_path_of(place, "x")), base::Refused);
  EXPECT_FALSE(meta::uses_vsock_dir(place, {""}));
}

}  // namespace
