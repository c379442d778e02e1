// SPDX-License-Identifier: Apache-2.0
// Holds the table of restore bugs. The sources are the change log and the issues of Firecracker.
#include "meta/vmstate/restore_bugs.h"

#include <algorithm>
#include <array>

namespace meta::vmstate {
namespace {

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
