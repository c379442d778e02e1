// SPDX-License-Identifier: Apache-2.0
// Holds the table of releases and the table of restore bugs.
//
// The sources are SNAPSHOT_VERSION in src/vmm/src/persist.rs at each tag, and the change log and
// the issues of Firecracker. 1.16.2 and 1.17.0 are from pull request 6185.
#include "meta/vmstate/releases.h"

#include <algorithm>
#include <array>

namespace meta::vmstate {
namespace {

struct Loads {
  std::string_view version;  // snapshot version
  ReleaseNumber release;
};
constexpr std::array<Loads, 21> kLoads{{
    {"3.0.0", {1, 9, 0}},   {"3.0.0", {1, 9, 1}},   {"3.0.0", {1, 10, 0}},  {"4.0.0", {1, 10, 1}},
    {"5.0.0", {1, 11, 0}},  {"6.0.0", {1, 12, 0}},  {"6.0.0", {1, 12, 1}},  {"8.0.0", {1, 13, 0}},
    {"8.0.0", {1, 13, 1}},  {"8.0.0", {1, 13, 2}},  {"8.0.0", {1, 14, 0}},  {"8.0.0", {1, 14, 1}},
    {"8.0.0", {1, 14, 2}},  {"8.0.0", {1, 14, 3}},  {"8.0.0", {1, 14, 4}},  {"9.0.0", {1, 15, 0}},
    {"9.0.0", {1, 15, 1}},  {"10.0.0", {1, 16, 0}}, {"10.0.0", {1, 16, 1}}, {"11.0.0", {1, 16, 2}},
    {"12.0.0", {1, 17, 0}},
}};

bool is_x86(const VmState& state) {
  return state.arch == Arch::x86_64;
}

bool has_two_regions(const VmState& state) {
  return is_x86(state) && state.mem_size_mib > kOneRegionMib;
}

bool has_vsock(const VmState& state) {
  return !state.paths_problem.empty() ||
         std::ranges::find(state.paths, Role::vsock, &EmbeddedText::role) != state.paths.end();
}

struct Bug {
  RestoreBug bug;
  bool (*concerns)(const VmState&);
};
constexpr std::array<Bug, 7> kBugs{{
    {{5705, {1, 15, 0}, "a Diff snapshot may be wrong; write Full snapshots"}, has_two_regions},
    {{5738, {1, 16, 0}, "some MSRs of KVM are not restored"}, is_x86},
    {{5809, {1, 16, 0}, "on a host with Linux 5.16 or later, the guest's monotonic clock jumps"},
     is_x86},
    {{5882, {1, 16, 1}, "connections of the guest over vsock may time out after a restore"},
     has_vsock},
    {{5972, {1, 16, 1}, "a guest that uses CET dies when it restores its FPU state"}, is_x86},
    {{6100, {1, 16, 2}, "a pause and a resume without a snapshot stop vsock from host to guest"},
     has_vsock},
    {{6120, {1, 16, 2}, "on a host with Linux 6.13 or later, a CPU template may clear MSR bits"},
     is_x86},
}};

}  // namespace

std::string ReleaseNumber::text() const {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

std::vector<ReleaseNumber> releases_that_load(std::string_view version) {
  std::vector<ReleaseNumber> releases;
  for (const Loads& loads : kLoads) {
    if (loads.version == version) {
      releases.push_back(loads.release);
    }
  }
  return releases;
}

std::vector<RestoreBug> restore_bugs_of(const VmState& state) {
  const std::vector<ReleaseNumber> releases = releases_that_load(state.snapshot_version);
  std::vector<RestoreBug> bugs;
  for (const auto& [bug, concerns] : kBugs) {
    if (!releases.empty() && releases.front() < bug.fixed_in && concerns(state)) {
      bugs.push_back(bug);
    }
  }
  return bugs;
}

}  // namespace meta::vmstate
