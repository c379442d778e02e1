// SPDX-License-Identifier: Apache-2.0
#include "meta/vmstate/vmstate.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "meta/vmstate/rewrite_paths.h"
#include "tests/unit/meta/real_states.h"
#include "tests/unit/meta/vmstate_writer.h"

namespace {

using meta::Role;

meta::VmState parse_whole(const std::string& bytes, const std::string& name = "state") {
  meta::VmState state = meta::parse_vmstate(bytes, name);
  meta::read_devices(bytes, state);
  return state;
}

std::vector<std::string> texts_of(const std::vector<meta::EmbeddedText>& list) {
  std::vector<std::string> texts;
  texts.reserve(list.size());
  for (const meta::EmbeddedText& text : list) {
    texts.push_back(text.text);
  }
  return texts;
}

// ---- states that a real Firecracker wrote

std::string encoding_of(const std::string& version) {
  return version == "8.0.0" ? "bincode" : "bitcode";
}

// Its texts.json is the oracle: neither the reader's table nor the writer's lists had a part in it.
void expect_read_as_its_strings_say(const RealState& real) {
  SCOPED_TRACE(real.state.string());
  const std::string path = real.state.string();
  const auto is_of = [&](const char* kind) { return path.find(kind) != std::string::npos; };
  const std::string bytes = slurp(real.state);
  const meta::VmState state = parse_whole(bytes, path);
  EXPECT_TRUE(state.crc_ok);
  EXPECT_EQ(state.paths_problem, "");
  EXPECT_EQ(state.arch, meta::Arch::x86_64);
  EXPECT_EQ(state.mem_size_mib, is_of("two-regions") ? 3584U : 128U);
  EXPECT_EQ(state.page_size, is_of("huge") ? meta::PageSize::huge_2m : meta::PageSize::normal);
  EXPECT_EQ(state.has_balloon, is_of("balloon/") || is_of("devices"));

  const nlohmann::json texts = nlohmann::json::parse(slurp(real.texts));
  EXPECT_EQ(state.snapshot_version, texts[0]["text"].get<std::string>());
  EXPECT_EQ(meta::encoding_name(state.encoding), encoding_of(state.snapshot_version));
  EXPECT_EQ(state.kernel_path, texts[1]["text"].get<std::string>());
  EXPECT_EQ(state.boot_args, texts[2]["text"].get<std::string>());
  std::vector<std::pair<size_t, std::string>> expected;
  for (size_t i = 3; i < texts.size(); ++i) {
    const std::string text = texts[i]["text"];
    if (text.starts_with('/') || text.starts_with("hype-")) {
      expected.emplace_back(texts[i]["offset"], text);
    }
  }
  std::vector<std::pair<size_t, std::string>> found;
  for (const auto& list : {state.paths, state.taps}) {
    for (const meta::EmbeddedText& text : list) {
      found.emplace_back(text.offset, text.text);
      EXPECT_EQ(bytes.substr(text.offset, text.text.size()), text.text);
      EXPECT_LT(text.lengths_at, text.offset);
      EXPECT_EQ(text.role == Role::vsock, text.text.ends_with(".sock"));
      EXPECT_EQ(text.role == Role::tap, text.text.starts_with("hype-"));
    }
  }
  std::ranges::sort(expected);
  std::ranges::sort(found);
  EXPECT_EQ(found, expected);
}

TEST(VmState, OfARealFirecrackerIsReadWhole) {
  std::set<std::string> versions;
  for (const RealState& real : own_real_states()) {
    expect_read_as_its_strings_say(real);
    versions.insert(parse_whole(slurp(real.state)).snapshot_version);
  }
  EXPECT_EQ(versions, (std::set<std::string>{"9.0.0", "10.0.0", "12.0.0"}));
}

TEST(VmState, OfEveryOtherRealFirecrackerAtHandIsReadWhole) {
  const std::vector<RealState> states = shared_real_states();
  if (states.empty()) {
    GTEST_SKIP() << "no states of other releases in '" << shared_fixtures()
                 << "' (SNAPFORK_FIXTURES)";
  }
  for (const RealState& real : states) {
    expect_read_as_its_strings_say(real);
  }
}

TEST(VmState, CutAnywhereIsNeverTakenForWhole) {
  for (const RealState& real : real_states()) {
    const std::string bytes = slurp(real.state);
    for (size_t length = 1; length < bytes.size(); length += 97) {
      try {
        EXPECT_FALSE(meta::parse_vmstate(bytes.substr(0, length), "cut").crc_ok) << length;
      } catch (const base::BadData&) {
      }
    }
  }
}

// ---- every release: made up (vmstate_writer.h)

// As in a real file, much of what precedes the devices is zero.
std::string filler() {
  return "\x07\xffkvm\xff" + std::string(2000, '\0') + "\x03\xfe\xff\x80\xff";
}

// A machine with devices of every kind that `release` has.
StatePlan full_plan(const ReleaseFacts& release, bool arm, bool pci, bool everything) {
  StatePlan plan{.release = std::string(release.name), .arm = arm};
  plan.pci = pci;
  plan.everything = everything;
  plan.initrd = "/boot/initrd";
  plan.mem_size_mib = 3584;
  plan.drives = {"/d/one", "relative.img", "/d/" + std::string(400, 'x'),
                 "/d/4",   "/d/55",        "/d/666"};
  plan.taps = {"tap0", "tap-one"};
  plan.vsock = "v.sock";
  if (release.has_pmem) {
    plan.pmems = {"/d/pmem"};
    plan.pmem_bytes = 2 << 20;
    plan.hotplug_bytes = uint64_t{1} << 30U;
  }
  plan.balloon = !arm || everything;
  return plan;
}

void expect_read_whole(const StatePlan& plan, const std::string& version) {
  const std::string bytes = make_state(plan, filler());
  const meta::VmState state = parse_whole(bytes);
  EXPECT_TRUE(state.crc_ok);
  EXPECT_EQ(state.arch, plan.arm ? meta::Arch::aarch64 : meta::Arch::x86_64);
  EXPECT_EQ(state.snapshot_version, version);
  EXPECT_EQ(state.mem_size_mib, 3584U);
  EXPECT_EQ(state.kernel_path, plan.kernel);
  EXPECT_EQ(state.initrd_path, plan.initrd);
  EXPECT_EQ(state.boot_args, plan.boot_args);
  EXPECT_EQ(state.hotplug_bytes, plan.hotplug_bytes);
  EXPECT_EQ(state.has_balloon, plan.balloon);
  EXPECT_EQ(state.pmem_bytes, std::vector<uint64_t>(plan.pmems.size(), plan.pmem_bytes));
  EXPECT_EQ(state.paths_problem, "");
  std::vector<std::string> expected = plan.drives;
  expected.push_back(*plan.vsock);
  expected.insert(expected.end(), plan.pmems.begin(), plan.pmems.end());
  EXPECT_EQ(texts_of(state.paths), expected);
  EXPECT_EQ(texts_of(state.taps), plan.taps);
}

TEST(SyntheticVmState, OfEveryReleaseNamesItsPaths) {
  for (const ReleaseFacts& release : kWriterReleases) {
    for (const bool arm : {false, true}) {
      for (const bool pci : {false, true}) {
        for (const bool everything : {false, true}) {
          if (!pci || release.has_pci) {
            SCOPED_TRACE(std::string(release.name) + (arm ? " arm" : " x86") +
                         (pci ? " pci" : " mmio") + (everything ? " everything" : ""));
            expect_read_whole(full_plan(release, arm, pci, everything), release.version);
          }
        }
      }
    }
  }
}

TEST(SyntheticVmState, OfEveryReleaseWithoutDevicesIsCompleteAndEmpty) {
  for (const ReleaseFacts& release : kWriterReleases) {
    SCOPED_TRACE(release.name);
    const std::string bytes = make_state({.release = std::string(release.name)}, filler());
    const meta::VmState state = parse_whole(bytes);
    EXPECT_EQ(state.paths_problem, "");
    EXPECT_TRUE(state.paths.empty());
    EXPECT_FALSE(meta::names_foreign_paths(state, "/root/guests/a"));
  }
}

TEST(SyntheticVmState, VhostUserSocketsArePathsToo) {
  StatePlan plan;
  plan.vhost_users = {"/run/vhost.sock"};
  const meta::VmState state = parse_whole(make_state(plan, filler()));
  ASSERT_EQ(texts_of(state.paths), plan.vhost_users);
  EXPECT_EQ(state.paths[0].role, Role::vhost_user_block);
}

TEST(SyntheticVmState, PageSizeVariantsDependOnTheVersion) {
  const auto page_size = [](const char* release, uint64_t variant) {
    return meta::parse_vmstate(make_state({.release = release, .huge_pages = variant}), "s")
        .page_size;
  };
  EXPECT_EQ(page_size("1.14", 1), meta::PageSize::huge_2m);
  EXPECT_EQ(page_size("1.16", 1), meta::PageSize::huge_2m);
  EXPECT_EQ(page_size("after-1.16", 1), meta::PageSize::transparent);
  EXPECT_EQ(page_size("after-1.16", 2), meta::PageSize::huge_2m);
  EXPECT_EQ(page_size("after-1.16", 0), meta::PageSize::normal);
}

TEST(SyntheticVmState, OfAnUnknownVersionIsNotClaimedToBeComplete) {
  StatePlan plan{.release = "1.17", .version = "99.0.0"};
  plan.drives = {"/d/one"};
  const meta::VmState state = parse_whole(make_state(plan, filler()));
  EXPECT_EQ(state.snapshot_version, "99.0.0");
  EXPECT_EQ(state.mem_size_mib, 128U);
  EXPECT_NE(state.paths_problem, "");
  EXPECT_TRUE(meta::names_foreign_paths(state, "/d"));
}

TEST(SyntheticVmState, WithDevicesThatDoNotFitIsNotClaimedToBeComplete) {
  std::string bytes = make_state({}, filler());
  bytes.resize(bytes.size() - 8);
  const meta::VmState state = parse_whole(with_crc(bytes + "one more member"));
  EXPECT_TRUE(state.crc_ok);
  EXPECT_NE(state.paths_problem, "");
}

TEST(SyntheticVmState, WithZerosAmidItsDevicesIsReadFromTheirStart) {
  // A drive without an interrupt ends with zeros; these and what follows read as "no devices" as
  // well.
  for (const ReleaseFacts& release : kWriterReleases) {
    SCOPED_TRACE(release.name);
    StatePlan plan{.release = std::string(release.name), .interrupts = false};
    plan.drives = {"/d/one"};
    const meta::VmState state = parse_whole(make_state(plan, filler()));
    EXPECT_EQ(state.paths_problem, "");
    EXPECT_EQ(texts_of(state.paths), plan.drives);
  }
}

TEST(VmState, TellsOwnPathsFromForeignOnes) {
  StatePlan plan;
  plan.drives = {"/root/guests/a/disk.raw"};
  const meta::VmState state = parse_whole(make_state(plan, filler()));
  EXPECT_FALSE(meta::names_foreign_paths(state, "/root/guests/a"));
  EXPECT_TRUE(meta::names_foreign_paths(state, "/root/guests/ab"));
  EXPECT_TRUE(meta::names_foreign_paths(state, "/root/guests/b"));
  plan.drives = {"/root/guests/a/../b/disk.raw"};
  EXPECT_TRUE(meta::names_foreign_paths(parse_whole(make_state(plan, filler())), "/root/guests/a"));
}

// ---- hostile bytes

void expect_refused(const std::string& bytes, const std::string& why) {
  try {
    static_cast<void>(meta::parse_vmstate(bytes, "the/name"));
    ADD_FAILURE() << "accepted, instead of: " << why;
  } catch (const base::BadData& error) {
    EXPECT_NE(std::string(error.what()).find("'the/name'"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
  }
}

TEST(HostileVmState, IsRefusedByName) {
  expect_refused("", "it is empty");
  expect_refused(R"({"not": "a state"})", "does not start as");
  expect_refused(std::string(4096, '\0'), "does not start as");
  expect_refused(
      "\x7f"
      "ELF",
      "does not start as");
  const std::string good = make_state({});
  expect_refused(good.substr(0, 12), "it ends early");
  expect_refused(make_state({.mem_size_mib = 0}), "memory size");
  expect_refused(make_state({.mem_size_mib = ~0ULL}), "memory size");
  expect_refused(make_state({.release = "1.14", .mem_size_mib = ~0ULL}), "memory size");
  expect_refused(make_state({.version = "../../x"}), "it has no version");
  expect_refused(make_state({.release = "1.14", .version = ""}), "it has no version");
}

TEST(HostileVmState, LengthsBeyondTheEndAreRefused) {
  // bincode: the u64 length of the version, of the kernel's path, at 8 and after it.
  for (const uint64_t length : {~0ULL, 1ULL << 63U, 1ULL << 32U, 10'000ULL}) {
    std::string bytes = make_state({.release = "1.14"});
    std::string field;
    append_number(field, length, 8);
    bytes.replace(8, 8, field);
    expect_refused(bytes, "it ends early");
  }
  // bitcode: the same length, escaped, in each width.
  for (const char* escaped : {"\xff\x06\xff", "\xff\x04\xff\xff", "\xff\x02\xff\xff\xff\x7f"}) {
    std::string bytes = make_state({});
    bytes.replace(9, 1, escaped);
    expect_refused(bytes, "it ends early");
  }
}

// Whatever stands in the bytes, paths lie in them, and can be rewritten or are refused.
void expect_borne(const std::string& bytes) {
  try {
    const meta::VmState state = parse_whole(bytes);
    for (const meta::EmbeddedText& path : state.paths) {
      ASSERT_EQ(bytes.substr(path.offset, path.text.size()), path.text);
    }
    const std::vector<meta::PathChange> changes{{.from = "/d", .to = "/elsewhere"}};
    static_cast<void>(meta::rewrite_paths(bytes, "hostile", changes));
  } catch (const base::Error&) {
  }
}

// As the CRC is right, nothing but the reading itself stands between these and a crash.
void expect_borne_with(const std::string& good, size_t at, uint64_t length, size_t width) {
  constexpr size_t kCrc = 8;
  std::string field;
  append_number(field, length, width);
  if (at + width + kCrc <= good.size()) {
    std::string bytes = good.substr(0, good.size() - kCrc);
    bytes.replace(at, width, field);
    expect_borne(with_crc(std::move(bytes)));
  }
}

// Every `step`th place, as if it were a length; and all kinds of lengths for each text.
void expect_borne_with_hostile_lengths(const std::string& good, size_t step) {
  for (size_t at = 0; at < good.size(); at += step) {
    expect_borne_with(good, at, 0xff, 1);
    expect_borne_with(good, at, ~0ULL, 8);
  }
  const meta::VmState state = parse_whole(good);
  for (const auto& texts : {state.boot_paths, state.paths, state.taps}) {
    for (const meta::EmbeddedText& text : texts) {
      for (const uint64_t length : {1ULL << 63U, (1ULL << 63U) - 1, 1ULL << 32U, 0ULL}) {
        expect_borne_with(good, text.lengths_at, length, 1);
        expect_borne_with(good, text.lengths_at, length, 8);
      }
    }
  }
}

TEST(HostileVmState, EveryLengthOfEveryReleaseMayBeHostile) {
  for (const ReleaseFacts& release : kWriterReleases) {
    SCOPED_TRACE(release.name);
    StatePlan plan{.release = std::string(release.name)};
    plan.drives = {"/d/one", "/d/two", "/d/three"};
    plan.taps = {"tap0"};
    plan.vsock = "/d/v";
    plan.balloon = true;
    const std::string good = make_state(plan);
    ASSERT_EQ(parse_whole(good).paths_problem, "");
    expect_borne_with_hostile_lengths(good, 1);
  }
}

TEST(HostileVmState, SoMayThoseOfARealFirecracker) {
  for (const RealState& real : real_states()) {
    const std::string bytes = slurp(real.state);
    const std::string parent = real.state.parent_path().filename().string();
    if (!bytes.empty() && (parent == "plain" || parent == "devices")) {
      expect_borne_with_hostile_lengths(bytes, 2999);
    }
  }
}

TEST(HostileVmState, NeitherCrashesNorTakesLong) {
  StatePlan plan;
  plan.drives = {"/d/one", "/d/two", "/d/three"};
  plan.taps = {"tap0"};
  plan.vsock = "/v";
  std::mt19937 random(7);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same bytes in each run
  for (const ReleaseFacts& release : kWriterReleases) {
    plan.release = release.name;
    const std::string good = make_state(plan, filler());
    for (int round = 0; round < 60; ++round) {
      std::string bytes = good;
      for (int i = 0; i < 4; ++i) {
        bytes[random() % bytes.size()] = static_cast<char>(random() % 4 == 0 ? 0xff : random());
      }
      try {
        const meta::VmState state = parse_whole(bytes);
        for (const meta::EmbeddedText& path : state.paths) {
          EXPECT_EQ(bytes.substr(path.offset, path.text.size()), path.text);
        }
      } catch (const base::BadData&) {
      }
    }
  }
}

TEST(HostileVmState, OfTheGreatestSizeEndsTheSearch) {
  std::string bytes = make_state({});
  std::mt19937 random(3);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same bytes in each run
  // Lengths that promise much, everywhere; and the magic that starts a search, often.
  while (bytes.size() < meta::kMaxVmStateBytes - 16) {
    bytes += random() % 3 == 0 ? "VCLK" : std::string(random() % 40, '\x05');
  }
  meta::VmState state = meta::parse_vmstate(bytes, "big");
  meta::read_devices(bytes, state);
  EXPECT_NE(state.paths_problem, "");
}

}  // namespace
