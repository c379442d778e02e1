// SPDX-License-Identifier: Apache-2.0
// Tests the reader of state files with hostile bytes.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/little_endian.h"
#include "meta/vmstate/rewrite_paths.h"
#include "meta/vmstate/vmstate.h"
#include "tests/unit/meta/real_states.h"
#include "tests/unit/meta/vmstate_writer.h"

namespace vmstate = meta::vmstate;

namespace {

vmstate::VmState parse_whole(const std::string& bytes) {
  vmstate::VmState state = vmstate::parse_vmstate(bytes, "state");
  vmstate::read_devices(bytes, state);
  return state;
}

// As in a real file, most bytes before the devices are zero.
std::string filler() {
  return "\x07\xffkvm\xff" + std::string(2000, '\0') + "\x03\xfe\xff\x80\xff";
}

void expect_refused(const std::string& bytes, const std::string& why) {
  try {
    static_cast<void>(vmstate::parse_vmstate(bytes, "the/name"));
    ADD_FAILURE() << "accepted, instead of: " << why;
  } catch (const base::BadData& error) {
    EXPECT_NE(std::string(error.what()).find("'the/name'"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
  }
}

TEST(HostileVmState, IsRefusedWithItsName) {
  expect_refused("", "it is empty");
  expect_refused(R"({"not": "a state"})", "does not start with the magic number");
  expect_refused(std::string(4096, '\0'), "does not start with the magic number");
  expect_refused(
      "\x7f"
      "ELF",
      "does not start with the magic number");
  const std::string good = make_state({});
  expect_refused(good.substr(0, 12), "it is truncated");
  expect_refused(make_state({.mem_size_mib = 0}), "memory size");
  expect_refused(make_state({.mem_size_mib = ~0ULL}), "memory size");
  expect_refused(make_state({.release = "1.14", .mem_size_mib = ~0ULL}), "memory size");
  expect_refused(make_state({.version = "../../x"}), "it has no snapshot version");
  expect_refused(make_state({.release = "1.14", .version = ""}), "it has no snapshot version");
}

TEST(HostileVmState, LengthsBeyondTheEndAreRefused) {
  // bincode: the u64 length of the version, of the kernel's path, at 8 and after it.
  for (const uint64_t length : {~0ULL, 1ULL << 63U, 1ULL << 32U, 10'000ULL}) {
    std::string bytes = make_state({.release = "1.14"});
    std::string field;
    base::append_little_endian(field, length, 8);
    bytes.replace(8, 8, field);
    expect_refused(bytes, "it is truncated");
  }
  // bitcode: the same length, escaped, in each width.
  for (const char* escaped : {"\xff\x06\xff", "\xff\x04\xff\xff", "\xff\x02\xff\xff\xff\x7f"}) {
    std::string bytes = make_state({});
    bytes.replace(9, 1, escaped);
    expect_refused(bytes, "it is truncated");
  }
}

// For any bytes, the paths lie inside them, and rewrite_paths succeeds or throws.
void expect_borne(const std::string& bytes) {
  try {
    const vmstate::VmState state = parse_whole(bytes);
    for (const vmstate::EmbeddedText& path : state.paths) {
      ASSERT_EQ(bytes.substr(path.offset, path.text.size()), path.text);
    }
    const std::vector<vmstate::PathChange> changes{{.from = "/d", .to = "/elsewhere"}};
    static_cast<void>(vmstate::rewrite_paths(bytes, "hostile", changes));
  } catch (const base::Error&) {
  }
}

// Gives the bytes a correct CRC, so that only the reader can reject them.
void expect_borne_with(const std::string& good, size_t at, uint64_t length, size_t width) {
  constexpr size_t kCrc = 8;
  std::string field;
  base::append_little_endian(field, length, width);
  if (at + width + kCrc <= good.size()) {
    std::string bytes = good.substr(0, good.size() - kCrc);
    bytes.replace(at, width, field);
    expect_borne(with_crc(std::move(bytes)));
  }
}

// Writes lengths at every `step`th offset, and lengths of all kinds for each string.
void expect_borne_with_hostile_lengths(const std::string& good, size_t step) {
  for (size_t at = 0; at < good.size(); at += step) {
    expect_borne_with(good, at, 0xff, 1);
    expect_borne_with(good, at, ~0ULL, 8);
  }
  const vmstate::VmState state = parse_whole(good);
  for (const auto& texts : {state.boot_paths, state.paths, state.taps}) {
    for (const vmstate::EmbeddedText& text : texts) {
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

TEST(HostileVmState, EveryLengthOfARealFirecrackerMayBeHostile) {
  for (const RealState& real : real_states()) {
    const std::string bytes = slurp(real.state);
    const std::string parent = real.state.parent_path().filename().string();
    if (!bytes.empty() && (parent == "plain" || parent == "devices")) {
      expect_borne_with_hostile_lengths(bytes, 2999);
    }
  }
}

TEST(HostileVmState, EndsWithoutACrashInASecond) {
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
        const vmstate::VmState state = parse_whole(bytes);
        for (const vmstate::EmbeddedText& path : state.paths) {
          EXPECT_EQ(bytes.substr(path.offset, path.text.size()), path.text);
        }
      } catch (const base::BadData&) {
      }
    }
  }
}

TEST(HostileVmState, OfTheLargestSizeEndsTheSearch) {
  std::string bytes = make_state({});
  std::mt19937 random(3);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same bytes in each run
  // Large lengths everywhere, and many copies of the magic number that starts a search.
  while (bytes.size() < vmstate::kMaxVmStateBytes - 16) {
    bytes += random() % 3 == 0 ? "VCLK" : std::string(random() % 40, '\x05');
  }
  vmstate::VmState state = vmstate::parse_vmstate(bytes, "big");
  vmstate::read_devices(bytes, state);
  EXPECT_NE(state.paths_problem, "");
}

}  // namespace
