// SPDX-License-Identifier: Apache-2.0
// Tests rewrite_paths with states of every release, paths of any length, and invalid requests.
#include "meta/vmstate/rewrite_paths.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "meta/vmstate/crc64.h"
#include "tests/unit/meta/real_states.h"
#include "tests/unit/meta/vmstate_writer.h"

namespace vmstate = meta::vmstate;

namespace {

using meta::vmstate::PathChange;

vmstate::VmState parse_whole(const std::string& bytes) {
  vmstate::VmState state = vmstate::parse_vmstate(bytes, "state");
  vmstate::read_devices(bytes, state);
  return state;
}

std::vector<std::string> paths_of(const std::string& bytes) {
  std::vector<std::string> strings;
  for (const vmstate::EmbeddedText& path : parse_whole(bytes).paths) {
    strings.push_back(path.text);
  }
  return strings;
}

std::string rewrite(const std::string& bytes, const std::vector<PathChange>& changes) {
  return vmstate::rewrite_paths(bytes, "the/state", changes).bytes;
}

std::vector<PathChange> reversed(std::vector<PathChange> changes) {
  for (PathChange& change : changes) {
    std::swap(change.from, change.to);
  }
  return changes;
}

// Changes each path to the string with its index in `strings`, and back; the bytes must be the
// same.
void expect_there_and_back(const std::string& bytes, const std::vector<std::string>& strings) {
  const std::vector<std::string> old = paths_of(bytes);
  std::vector<PathChange> changes;
  for (size_t i = 0; i < old.size(); ++i) {
    changes.push_back({.from = old[i], .to = strings[i]});
  }
  const std::string changed = rewrite(bytes, changes);
  EXPECT_EQ(vmstate::crc64(changed), 0U);
  // set_paths does the same without a search.
  EXPECT_TRUE(vmstate::set_paths(bytes, "state", parse_whole(bytes), strings).bytes == changed);
  EXPECT_EQ(paths_of(changed), strings);
  EXPECT_TRUE(rewrite(changed, reversed(changes)) == bytes);
}

// Different strings of length `least` to `least` + `spread`. Socket paths must stay short.
std::vector<std::string> make_strings(const std::string& bytes, size_t least, size_t spread) {
  std::vector<std::string> strings;
  for (const vmstate::EmbeddedText& path : parse_whole(bytes).paths) {
    const std::string number = std::to_string(strings.size());
    const size_t length = least + (strings.size() * 7) % (spread + 1);
    const bool is_socket = path.role == vmstate::Role::vsock;
    strings.push_back("/" + number + std::string(is_socket ? 9 : length, 'n'));
  }
  return strings;
}

TEST(RewritePaths, OfARealFirecrackerToAnyLengthAndBack) {
  size_t drives = 0;
  for (const RealState& real : real_states()) {
    SCOPED_TRACE(real.state.string());
    const std::string bytes = slurp(real.state);
    drives += paths_of(bytes).size();
    for (const auto& [least, spread] :
         {std::pair<size_t, size_t>{1, 5}, {14, 2}, {60, 1}, {60, 200}, {250, 15}, {2000, 3}}) {
      expect_there_and_back(bytes, make_strings(bytes, least, spread));
    }
  }
  EXPECT_GT(drives, 0U);
}

TEST(SetPaths, RenamesTapsInEveryReleaseAndBack) {
  for (const ReleaseFacts& release : kWriterReleases) {
    for (const bool pci : {false, true}) {
      if (pci && !release.has_pci) {
        continue;
      }
      SCOPED_TRACE(std::string(release.name) + (pci ? " pci" : " mmio"));
      StatePlan plan{.release = std::string(release.name)};
      plan.pci = pci;
      plan.drives = {"/d/one"};
      plan.taps = {"tap0", "t", "tap-two"};
      plan.vsock = "/v.sock";
      const std::string bytes = make_state(plan);
      const vmstate::VmState state = parse_whole(bytes);
      const std::vector<std::string> paths = paths_of(bytes);
      const std::vector<std::string> names{"fifteen-bytes-x", "tap0", "tap-two"};
      const auto changed = vmstate::set_paths(bytes, "state", state, paths, names);
      EXPECT_EQ(changed.changes.size(), 2U);
      const vmstate::VmState after = parse_whole(changed.bytes);
      for (size_t i = 0; i < names.size(); ++i) {
        EXPECT_EQ(after.taps.at(i).text, names[i]);
        EXPECT_EQ(after.taps.at(i).iface_id, state.taps.at(i).iface_id);
      }
      EXPECT_EQ(paths_of(changed.bytes), paths);
      EXPECT_TRUE(vmstate::set_paths(changed.bytes, "state", after, paths, plan.taps).bytes ==
                  bytes);
      EXPECT_TRUE(vmstate::set_paths(bytes, "state", state, paths).bytes == bytes);
    }
  }
}

TEST(RewritePaths, OfADirectoryMovesAllPathsBelowIt) {
  StatePlan plan;
  plan.drives = {"/srv/a/one", "/srv/a", "/srv/ab/two", "srv/a/three"};
  plan.vsock = "/srv/a/v.sock";
  plan.taps = {"/srv/a/tap"};  // a name, whatever it looks like
  plan.kernel = "/srv/a/vmlinux";
  const std::string bytes = make_state(plan);
  const vmstate::RewrittenState result = vmstate::rewrite_paths(
      bytes, "state", std::vector<PathChange>{{.from = "/srv/a", .to = "/somewhere/else"}});
  EXPECT_EQ(paths_of(result.bytes),
            (std::vector<std::string>{"/somewhere/else/one", "/somewhere/else", "/srv/ab/two",
                                      "srv/a/three", "/somewhere/else/v.sock"}));
  EXPECT_EQ(parse_whole(result.bytes).kernel_path, "/somewhere/else/vmlinux");
  EXPECT_EQ(parse_whole(result.bytes).taps[0].text, "/srv/a/tap");
  ASSERT_EQ(result.changes.size(), 4U);
  EXPECT_EQ(result.changes[0].from, "/srv/a/vmlinux");
  EXPECT_EQ(result.changes[1].to, "/somewhere/else/one");
  // A change from the root directory, and to it.
  EXPECT_EQ(paths_of(rewrite(result.bytes, {{.from = "/somewhere", .to = "/"}}))[0], "/else/one");
  EXPECT_EQ(paths_of(rewrite(bytes, {{.from = "/", .to = "/jail"}}))[0], "/jail/srv/a/one");
}

TEST(RewritePaths, EachPathIsSetByItsPlace) {
  StatePlan plan;
  plan.drives = {"/a", "/a/b", "/a"};
  plan.vsock = "/a";
  plan.kernel = "/a";
  const std::string bytes = make_state(plan);
  const vmstate::VmState state = parse_whole(bytes);
  const std::vector<std::string> paths{"/a/b", "/1", "/2", "/3"};
  const vmstate::RewrittenState result = vmstate::set_paths(bytes, "state", state, paths);
  EXPECT_EQ(paths_of(result.bytes), paths);
  EXPECT_EQ(parse_whole(result.bytes).kernel_path, "/a");
  EXPECT_EQ(result.changes.size(), 4U);
  EXPECT_TRUE(vmstate::set_paths(bytes, "state", state, paths_of(bytes)).bytes == bytes);
  const std::string long_socket = "/" + std::string(107, 's');
  for (const std::string& bad : {std::string("/\n"), std::string(), std::string("/\xff")}) {
    EXPECT_ANY_THROW(
        vmstate::set_paths(bytes, "state", state, std::vector<std::string>{bad, "/1", "/2", "/3"}));
  }
  EXPECT_THROW(vmstate::set_paths(bytes, "state", state,
                                  std::vector<std::string>{"/0", "/1", "/2", long_socket}),
               base::UsageError);
}

TEST(RewritePaths, TheFirstChangeThatMatchesCounts) {
  StatePlan plan;
  plan.drives = {"/a/one", "/a/two"};
  const std::string bytes = make_state(plan);
  EXPECT_EQ(paths_of(rewrite(bytes, {{.from = "/a/one", .to = "/b"}, {.from = "/a", .to = "/c"}})),
            (std::vector<std::string>{"/b", "/c/two"}));
}

TEST(RewritePaths, OfEveryReleaseToAnyLengthAndBack) {
  std::mt19937 random(5);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same strings in each run
  for (const ReleaseFacts& release : kWriterReleases) {
    for (const bool pci : {false, true}) {
      if (pci && !release.has_pci) {
        continue;
      }
      SCOPED_TRACE(std::string(release.name) + (pci ? " pci" : " mmio"));
      StatePlan plan{.release = std::string(release.name)};
      plan.pci = pci;
      plan.initrd = "/initrd";
      plan.taps = {"tap0", "tap1"};
      plan.vsock = "/v";
      for (int i = 0; i < 8; ++i) {
        plan.drives.push_back("/" + std::to_string(i) + std::string(random() % 20, 'x'));
      }
      if (release.has_pmem) {
        plan.pmems = {"/pmem"};
      }
      const std::string bytes = make_state(plan, "kvm\xff" + std::string(500, '\0'));
      for (int round = 0; round < 5; ++round) {
        expect_there_and_back(bytes, make_strings(bytes, random() % 300, random() % 200));
      }
    }
  }
}

template <typename Error>
void expect_refused(const std::string& bytes, const std::vector<PathChange>& changes,
                    const std::string& why) {
  try {
    rewrite(bytes, changes);
    ADD_FAILURE() << "done, instead of: " << why;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
  }
}

TEST(RewritePaths, RefusesUnknownDevicesAndUnusedChanges) {
  StatePlan plan;
  plan.drives = {"/d/one"};
  plan.vsock = "/v.sock";
  const std::string good = make_state(plan);
  expect_refused<base::Refused>(good, {{.from = "/d/on", .to = "/x"}},
                                "'the/state': it contains no path equal to '/d/on' or below it");
  expect_refused<base::Refused>(good, {{.from = "/d", .to = "/x"}, {.from = "/d/one", .to = "/y"}},
                                "contains no path equal to '/d/one'");
  expect_refused<base::UsageError>(good, {{.from = "/v.sock", .to = std::string(108, 's')}}, "107");
  expect_refused<base::UsageError>(good, {{.from = "/d", .to = "/\xff"}}, "not UTF-8");
  std::string damaged = good;
  damaged[damaged.size() / 2] ^= 1;
  expect_refused<base::BadData>(damaged, {{.from = "/d", .to = "/x"}}, "its CRC is wrong");
  expect_refused<base::BadData>("no state", {{.from = "/d", .to = "/x"}},
                                "does not start with the magic number");
  plan.version = "7.0.0";
  expect_refused<base::Unsupported>(make_state(plan), {{.from = "/d", .to = "/x"}},
                                    "the devices of snapshot version '7.0.0' cannot be read");
  // The kernel's path precedes the devices and could be changed, but a partial change is refused.
  expect_refused<base::Unsupported>(make_state(plan), {{.from = "/boot/vmlinux", .to = "/x"}},
                                    "cannot be read");
}

}  // namespace
