// SPDX-License-Identifier: Apache-2.0
// Holds the table of load fields.
//
// The source is struct LoadSnapshotConfig in src/vmm/src/vmm_config/snapshot.rs at each tag from
// v1.9.0 to v1.16.1. enable_diff_snapshots, the older name of track_dirty_pages, is known to all of
// them.
#include "meta/vmstate/load_fields.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

namespace meta::vmstate {
namespace {

struct Row {
  LoadField field;
  ReleaseNumber since;  // this release and all later ones
  // Older minors got the field with a patch release: this one and the later ones of its minor.
  std::array<std::optional<ReleaseNumber>, 2> backports;
};
constexpr std::array<Row, 3> kRows{{
    {LoadField::network_overrides, kFirstWithNetworkOverrides, {}},
    {LoadField::track_dirty_pages, {1, 13, 0}, {}},
    {LoadField::clock_realtime, {1, 16, 0}, {{{{1, 14, 4}}, {{1, 15, 1}}}}},
}};

}  // namespace

bool knows_load_field(ReleaseNumber release, LoadField field) {
  const Row& row = *std::ranges::find(kRows, field, &Row::field);
  return release >= row.since ||
         std::ranges::any_of(row.backports, [&](const std::optional<ReleaseNumber>& backport) {
           return backport && release.major == backport->major &&
                  release.minor == backport->minor && release >= *backport;
         });
}

bool all_know_load_field(std::string_view version, LoadField field) {
  const std::vector<ReleaseNumber> releases = releases_that_load(version);
  return !releases.empty() && std::ranges::all_of(releases, [&](const ReleaseNumber& release) {
    return knows_load_field(release, field);
  });
}

}  // namespace meta::vmstate
