// SPDX-License-Identifier: Apache-2.0
// Tests the reader of state files with real states and synthetic states of every release.
#include "meta/vmstate/vmstate.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/little_endian.h"
#include "meta/vmstate/formats.h"
#include "meta/vmstate/rewrite_paths.h"
#include "tests/unit/meta/real_states.h"
#include "tests/unit/meta/vmstate_writer.h"

namespace vmstate = meta::vmstate;

namespace {

using meta::vmstate::Role;

vmstate::VmState parse_whole(const std::string& bytes, const std::string& name = "state") {
  vmstate::VmState state = vmstate::parse_vmstate(bytes, name);
  vmstate::read_devices(bytes, state);
  return state;
}

std::vector<std::string> texts_of(const std::vector<vmstate::EmbeddedText>& list) {
  std::vector<std::string> texts;
  texts.reserve(list.size());
  for (const vmstate::EmbeddedText& text : list) {
    texts.push_back(text.text);
  }
  return texts;
}

// ---- states that a real Firecracker wrote

std::string encoding_of(const std::string& version) {
  return version == "8.0.0" ? "bincode" : "bitcode";
}

// texts.json has the expected strings. It was made without the reader's table and the writer's
// lists.
void expect_read_as_its_strings_say(const RealState& real) {
  SCOPED_TRACE(real.state.string());
  const std::string path = real.state.string();
  const auto is_of = [&](const char* kind) { return path.find(kind) != std::string::npos; };
  const std::string bytes = slurp(real.state);
  const vmstate::VmState state = parse_whole(bytes, path);
  EXPECT_TRUE(state.crc_ok);
  EXPECT_EQ(state.paths_problem, "");
  EXPECT_EQ(state.arch, vmstate::Arch::x86_64);
  EXPECT_EQ(state.mem_size_mib, is_of("two-regions") ? 3584U : 128U);
  EXPECT_EQ(state.page_size,
            is_of("huge") ? vmstate::PageSize::huge_2m : vmstate::PageSize::normal);
  EXPECT_EQ(state.has_balloon, is_of("balloon/") || is_of("devices"));

  const nlohmann::json texts = nlohmann::json::parse(slurp(real.texts));
  EXPECT_EQ(state.snapshot_version, texts[0]["text"].get<std::string>());
  EXPECT_EQ(vmstate::encoding_name(state.encoding), encoding_of(state.snapshot_version));
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
    for (const vmstate::EmbeddedText& text : list) {
      found.emplace_back(text.offset, text.text);
      EXPECT_EQ(bytes.substr(text.offset, text.text.size()), text.text);
      EXPECT_LT(text.lengths_at, text.offset);
      EXPECT_EQ(text.role == Role::vsock, text.text.ends_with(".sock"));
      EXPECT_EQ(text.role == Role::tap, text.text.starts_with("hype-"));
      EXPECT_EQ(text.is_read_only, text.text.ends_with("config.ext4")) << text.text;
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

TEST(VmState, OfEveryOtherAvailableFirecrackerIsReadWhole) {
  const std::vector<RealState> states = shared_real_states();
  if (states.empty()) {
    GTEST_SKIP() << "no states of other releases in '" << shared_fixtures()
                 << "' (SNAPFORK_FIXTURES)";
  }
  for (const RealState& real : states) {
    expect_read_as_its_strings_say(real);
  }
}

TEST(VmState, TruncatedAtAnyLengthIsNotAccepted) {
  for (const RealState& real : real_states()) {
    const std::string bytes = slurp(real.state);
    for (size_t length = 1; length < bytes.size(); length += 97) {
      try {
        EXPECT_FALSE(vmstate::parse_vmstate(bytes.substr(0, length), "cut").crc_ok) << length;
      } catch (const base::BadData&) {
      }
    }
  }
}

// ---- synthetic states of every release (vmstate_writer.h)

// As in a real file, most bytes before the devices are zero.
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
  plan.read_only_drives = {1, 5};
  plan.read_only_pmems = {0};
  plan.balloon = !arm || everything;
  return plan;
}

void expect_read_whole(const StatePlan& plan, const std::string& version) {
  const std::string bytes = make_state(plan, filler());
  const vmstate::VmState state = parse_whole(bytes);
  EXPECT_TRUE(state.crc_ok);
  EXPECT_EQ(state.arch, plan.arm ? vmstate::Arch::aarch64 : vmstate::Arch::x86_64);
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
  for (const vmstate::EmbeddedText& path : state.paths) {
    const std::set<std::string> read_only{"relative.img", "/d/666", "/d/pmem"};
    EXPECT_EQ(path.is_read_only, read_only.contains(path.text)) << path.text;
  }
}

TEST(SyntheticVmState, OfEveryReleaseHasItsPaths) {
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
    const vmstate::VmState state = parse_whole(bytes);
    EXPECT_EQ(state.paths_problem, "");
    EXPECT_TRUE(state.paths.empty());
  }
}

TEST(SyntheticVmState, VhostUserSocketsArePathsToo) {
  StatePlan plan;
  plan.vhost_users = {"/run/vhost.sock"};
  const vmstate::VmState state = parse_whole(make_state(plan, filler()));
  ASSERT_EQ(texts_of(state.paths), plan.vhost_users);
  EXPECT_EQ(state.paths[0].role, Role::vhost_user_block);
}

TEST(SyntheticVmState, PageSizeVariantsDependOnTheVersion) {
  const auto page_size = [](const char* release, uint64_t variant) {
    return vmstate::parse_vmstate(make_state({.release = release, .huge_pages = variant}), "s")
        .page_size;
  };
  EXPECT_EQ(page_size("1.14", 1), vmstate::PageSize::huge_2m);
  EXPECT_EQ(page_size("1.16", 1), vmstate::PageSize::huge_2m);
  EXPECT_EQ(page_size("after-1.16", 1), vmstate::PageSize::transparent);
  EXPECT_EQ(page_size("after-1.16", 2), vmstate::PageSize::huge_2m);
  EXPECT_EQ(page_size("after-1.16", 0), vmstate::PageSize::normal);
}

TEST(SyntheticVmState, IsOlderThanTheReleasesAfterItsOwn) {
  const auto is_older_than_1_15 = [](const StatePlan& plan) {
    return vmstate::is_older_than(parse_whole(make_state(plan)).snapshot_version, {1, 15, 0});
  };
  for (const ReleaseFacts& release : kWriterReleases) {
    EXPECT_EQ(is_older_than_1_15({.release = std::string(release.name)}), !release.is_bitcode)
        << release.name;
  }
  EXPECT_TRUE(is_older_than_1_15({.release = "1.14", .version = "7.0.0"}));
  EXPECT_FALSE(is_older_than_1_15({.release = "1.17", .version = "99.0.0"}));
  EXPECT_FALSE(vmstate::is_older_than("8.0.0", {1, 14, 0})) << "1.14 writes 8.0.0 as well";
  EXPECT_TRUE(vmstate::is_older_than("8.0.0", {1, 14, 5}));
}

TEST(VmState, ThatCannotBeReadIsNothingToTryReadVmstate) {
  EXPECT_FALSE(vmstate::try_read_vmstate("/nonexistent/state"));
  EXPECT_FALSE(vmstate::try_read_vmstate("/proc/self/exe"));
  const std::string path = real_states().at(0).state;
  EXPECT_EQ(vmstate::try_read_vmstate(path)->paths_problem, "");
}

TEST(SyntheticVmState, OfAnUnknownVersionIsNotComplete) {
  StatePlan plan{.release = "1.17", .version = "7.0.0"};
  plan.drives = {"/d/one"};
  const vmstate::VmState state = parse_whole(make_state(plan, filler()));
  EXPECT_EQ(state.snapshot_version, "7.0.0");
  EXPECT_EQ(state.mem_size_mib, 128U);
  EXPECT_NE(state.paths_problem, "");
}

TEST(SyntheticVmState, OfANewerVersionIsReadWithAnAssumedLayout) {
  for (const char* release : {"1.15", "1.16", "after-1.16", "1.17"}) {
    SCOPED_TRACE(release);
    StatePlan plan{.release = release, .version = "13.0.0"};
    plan.drives = {"/d/one", "two.raw"};
    plan.taps = {"tap0"};
    plan.vsock = "/v.sock";
    const vmstate::VmState state = parse_whole(make_state(plan, filler()));
    EXPECT_EQ(state.paths_problem, "");
    EXPECT_TRUE(state.layout_is_assumed);
    EXPECT_EQ(texts_of(state.paths), (std::vector<std::string>{"/d/one", "two.raw", "/v.sock"}));
    EXPECT_NE(vmstate::assumed_layout_warning(state), "");
    plan.version.reset();
    const vmstate::VmState known = parse_whole(make_state(plan, filler()));
    EXPECT_FALSE(known.layout_is_assumed);
    EXPECT_EQ(vmstate::assumed_layout_warning(known), "");
  }
}

// A layout that lacks new members of a drive can be read after the drives, as "no drives", if a
// drive without an interrupt ends with zeros.
TEST(SyntheticVmState, OfANewerVersionWithChangedDrivesIsNotComplete) {
  const std::string members = "RateLimiterState FileEngineTypeState u32";
  std::string structs(kStructs1_17);
  ASSERT_NE(structs.find(members), std::string::npos);
  for (const char* added : {"u64 ", "u32 ", "u8 ", "?u64 ", "bool "}) {
    std::string changed = structs;
    changed.insert(changed.find(members) + std::string("RateLimiterState ").size(), added);
    const std::vector<std::vector<std::string>> machines{
        {"/d/one"}, {"one.raw"}, {"/d/one", "/d/two"}, {"/1", "/2", "/3", "/d/four"}};
    for (const auto& drives : machines) {
      for (const bool has_interrupts : {true, false}) {
        SCOPED_TRACE(std::string(added) + drives.back() + (has_interrupts ? "" : " no interrupts"));
        StatePlan plan{.release = "1.17", .version = "13.0.0", .structs = changed};
        plan.drives = drives;
        plan.interrupts = has_interrupts;
        const vmstate::VmState state = parse_whole(make_state(plan, filler()));
        EXPECT_NE(state.paths_problem, "");
      }
    }
  }
}

TEST(SyntheticVmState, OfVersion11IsReadWithBothLayouts) {
  for (const char* release : {"1.16", "after-1.16"}) {
    StatePlan plan{.release = release, .version = "11.0.0"};
    plan.drives = {"/d/one"};
    const vmstate::VmState state = parse_whole(make_state(plan, filler()));
    EXPECT_EQ(state.paths_problem, "");
    EXPECT_EQ(texts_of(state.paths), plan.drives);
    EXPECT_EQ(state.layout_is_assumed, std::string_view(release) == "1.16");
  }
}

// The layout of 11.0.0 lacks three members of a drive.
TEST(VmState, OfVersion12DoesNotFitTheLayoutOfVersion11) {
  size_t count = 0;
  for (const RealState& real : real_states()) {
    std::string bytes = slurp(real.state);
    const size_t version = bytes.find("12.0.0");
    if (version > 64 || parse_whole(bytes).paths.empty()) {
      continue;
    }
    ++count;
    bytes[version + 1] = '1';
    vmstate::VmState state = vmstate::parse_vmstate(bytes, "s");
    EXPECT_EQ(state.snapshot_version, "11.0.0");
    vmstate::read_devices(bytes, state);
    EXPECT_NE(state.paths_problem, "") << real.state;
  }
  EXPECT_GT(count, 0U);
}

TEST(SyntheticVmState, WithUnknownDevicesIsNotComplete) {
  std::string bytes = make_state({}, filler());
  bytes.resize(bytes.size() - 8);
  const vmstate::VmState state = parse_whole(with_crc(bytes + "one more member"));
  EXPECT_TRUE(state.crc_ok);
  EXPECT_NE(state.paths_problem, "");
}

TEST(SyntheticVmState, WithZerosBetweenItsDevicesIsReadFromTheirStart) {
  // A drive without an interrupt ends with zeros. The zeros and the bytes after them can also be
  // read as "no devices".
  for (const ReleaseFacts& release : kWriterReleases) {
    SCOPED_TRACE(release.name);
    StatePlan plan{.release = std::string(release.name), .interrupts = false};
    plan.drives = {"/d/one"};
    const vmstate::VmState state = parse_whole(make_state(plan, filler()));
    EXPECT_EQ(state.paths_problem, "");
    EXPECT_EQ(texts_of(state.paths), plan.drives);
  }
}

}  // namespace
