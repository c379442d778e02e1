// SPDX-License-Identifier: Apache-2.0
// Tests metadata.json: typed keys, the metadata of a fork, snapfork.disks.
#include "meta/guest/metadata.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "meta/forks/fork_metadata.h"
#include "meta/guest/disks.h"
#include "tests/unit/meta/fake_guest.h"
#include "tests/unit/scratch_dir.h"

namespace {

using meta::Metadata;

TEST(Metadata, ReadsAMissingKeyAndNullAsTheZeroValue) {
  const Metadata metadata = Metadata::parse(R"({"Name":null,"IsTemplate":null})", "m");
  EXPECT_EQ(metadata.text("Name"), "");
  EXPECT_EQ(metadata.text("Other"), "");
  EXPECT_FALSE(metadata.is_template());
  EXPECT_EQ(metadata.number("HypervisorPID"), std::nullopt);
}

TEST(Metadata, RefusesKeysOfAnotherType) {
  const Metadata metadata =
      Metadata::parse(R"({"Name":1,"IsTemplate":"yes","HypervisorPID":1.0})", "the/name");
  EXPECT_THROW(static_cast<void>(metadata.text("Name")), base::BadData);
  EXPECT_THROW(static_cast<void>(metadata.is_template()), base::BadData);
  EXPECT_THROW(static_cast<void>(metadata.number("HypervisorPID")), base::BadData);
}

TEST(Metadata, OfAnUnknownGuestIsRefused) {
  const ScratchDir dir;
  const store::Store store(dir.path());
  EXPECT_THROW(Metadata::of_guest(store, "a"), base::Refused);
  std::filesystem::create_directories(store.guest_dir("a"));
  EXPECT_THROW(Metadata::of_guest(store, "a"), std::system_error);
  write_text(store.metadata_path("a"), "not JSON");
  EXPECT_THROW(Metadata::of_guest(store, "a"), base::BadData);
}

TEST(Metadata, IsReplacedAsAWholeAndKeepsUnknownKeys) {
  const ScratchDir dir;
  const std::string path = dir / "metadata.json";
  write_text(path, R"({"Zebra":1.0,"Id":"a","Deep":{"n":1e400}})");
  Metadata metadata = Metadata::read(path);
  metadata.set_text("Name", "line\nbreak");
  metadata.write(path, base::Durable::no);
  EXPECT_EQ(base::read_file(path, 1000), R"({
  "Zebra": 1.0,
  "Id": "a",
  "Deep": {"n":1e400},
  "Name": "line\nbreak"
}
)");
}

TEST(Metadata, KnowsTheTypesOfTheKeysOfHypeman) {
  EXPECT_TRUE(meta::fits_key("Name", "\"x\""));
  EXPECT_TRUE(meta::fits_key("Name", "null"));
  EXPECT_FALSE(meta::fits_key("Name", "1"));
  EXPECT_FALSE(meta::fits_key("FirecrackerUseUFFDOnNextRestore", "\"yes\""));
  EXPECT_FALSE(meta::fits_key("HypervisorPID", "\"1\""));
  EXPECT_TRUE(meta::fits_key("StartedAt", "\"2026-11-21T02:53:33.123+01:00\""));
  EXPECT_TRUE(meta::fits_key("StartedAt", "\"" + meta::now_rfc3339() + "\""));
  for (const char* bad : {"\"2026-11-21\"", "\"2026-11-21 02:53:33Z\"", "\"2026-11-21T02:53:33\"",
                          "\"2026-11-21T02:53:33.Zx\"", "1"}) {
    EXPECT_FALSE(meta::fits_key("StartedAt", bad)) << bad;
  }
  EXPECT_TRUE(meta::fits_key("OfSomebodyElse", "[1]"));
}

TEST(ForkMetadata, IsACopyWithANewIdentity) {
  const Metadata source = Metadata::parse(R"({
    "Id": "src", "Name": "source", "CreatedAt": "2020-01-01T00:00:00Z",
    "StartedAt": "2020-01-01T00:00:00Z", "StoppedAt": null, "HypervisorPID": 17,
    "HypervisorStartTime": 99, "ExitCode": 1, "ExitMessage": "oops", "IP": "10.0.0.2", "MAC": "02:00",
    "DataDir": "/old/guests/src", "SocketPath": "/old/guests/src/fc.sock",
    "VsockSocket": "/elsewhere/v.sock", "VsockCID": 7, "IsTemplate": true, "HotPagesPath": "h",
    "FirecrackerSnapshotCacheKey": "", "Foreign": 1.0})",
                                          "m");
  const Metadata fork = meta::make_fork_metadata(source, {.id = "f",
                                                          .name = "fork",
                                                          .source_id = "src",
                                                          .source_dir = "/root/guests/src",
                                                          .fork_dir = "/root/guests/f",
                                                          .template_id = "src",
                                                          .cache_key = "k",
                                                          .session = "f@01234567"});
  EXPECT_EQ(fork.text("Id"), "f");
  EXPECT_EQ(fork.text("Name"), "fork");
  EXPECT_NE(fork.text("CreatedAt"), source.text("CreatedAt"));
  EXPECT_TRUE(meta::fits_key("CreatedAt", *fork.json().find("CreatedAt")));
  for (const char* key :
       {"StartedAt", "StoppedAt", "HypervisorPID", "HypervisorStartTime", "ExitCode"}) {
    EXPECT_EQ(*fork.json().find(key), "null") << key;
  }
  for (const char* key : {"ExitMessage", "IP", "MAC", "HotPagesPath"}) {
    EXPECT_EQ(*fork.json().find(key), "\"\"") << key;
  }
  EXPECT_EQ(fork.text("DataDir"), "/root/guests/f");
  EXPECT_EQ(fork.text("SocketPath"), "/root/guests/f/fc.sock");
  EXPECT_EQ(fork.text("VsockSocket"), "/root/guests/f/v.sock");
  EXPECT_EQ(fork.number("VsockCID"), 7);
  EXPECT_FALSE(fork.is_template());
  EXPECT_EQ(fork.fork_of_template(), "src");
  EXPECT_TRUE(fork.flag("FirecrackerUseUFFDOnNextRestore"));
  EXPECT_EQ(fork.text("FirecrackerUFFDSessionID"), "f@01234567");
  EXPECT_NE(fork.text("FirecrackerUFFDPagerVersion"), "");
  EXPECT_EQ(fork.text("FirecrackerSnapshotCacheKey"), "k");
  EXPECT_EQ(*fork.json().find("Foreign"), "1.0");
  EXPECT_EQ(fork.json().find("HypervisorBootID"), nullptr);
  for (const base::JsonObject::Member& member : fork.json().members()) {
    EXPECT_TRUE(meta::fits_key(member.key, member.raw)) << member.key;
  }
}

TEST(ForkMetadata, OfTheFileBackendHasNoSessionAndKeepsTheCacheKey) {
  const Metadata source = Metadata::parse(
      R"({"FirecrackerSnapshotCacheKey":"kept","FirecrackerUFFDSessionID":"old"})", "m");
  const Metadata fork = meta::make_fork_metadata(source, {.id = "f",
                                                          .name = "f",
                                                          .source_id = "s",
                                                          .source_dir = "/g/s",
                                                          .fork_dir = "/g/f",
                                                          .template_id = "",
                                                          .cache_key = "k",
                                                          .session = ""});
  EXPECT_FALSE(fork.flag("FirecrackerUseUFFDOnNextRestore"));
  EXPECT_EQ(fork.text("FirecrackerUFFDSessionID"), "");
  EXPECT_EQ(fork.text("FirecrackerUFFDPagerVersion"), "");
  EXPECT_EQ(fork.text("FirecrackerSnapshotCacheKey"), "kept");
  EXPECT_EQ(fork.fork_of_template(), "");
}

TEST(Disks, AreWrittenAndRead) {
  Metadata metadata = Metadata::parse(R"({"snapfork":{"other":1.0}})", "m");
  meta::set_disks(metadata, {{.file = "a.raw", .embedded_path = "/x/a \"b\""}});
  EXPECT_EQ(*metadata.json().find_path("snapfork.other"), "1.0");
  const std::vector<meta::Disk> disks = meta::disks_of(metadata);
  ASSERT_EQ(disks.size(), 1U);
  EXPECT_EQ(disks[0].file, "a.raw");
  EXPECT_EQ(disks[0].embedded_path, "/x/a \"b\"");
  EXPECT_TRUE(meta::disks_of(Metadata()).empty());
}

TEST(Disks, OfAnotherFormAreRefused) {
  for (const char* bad : {R"({"snapfork":{"disks":{}}})", R"({"snapfork":{"disks":[1]}})",
                          R"({"snapfork":{"disks":[{"file":"a"}]}})",
                          R"({"snapfork":{"disks":[{"file":"../a","embedded_path":"/a"}]}})",
                          R"({"snapfork":{"disks":[{"file":"..","embedded_path":"/a"}]}})"}) {
    EXPECT_THROW(static_cast<void>(meta::disks_of(Metadata::parse(bad, "m"))), base::BadData)
        << bad;
  }
}

}  // namespace
