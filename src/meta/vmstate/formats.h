// SPDX-License-Identifier: Apache-2.0
// The table of snapshot versions: which releases write each, and how its bytes are read.
#pragma once

#include <compare>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "meta/vmstate/layout.h"

namespace meta::vmstate {

// The number of a Firecracker release.
struct ReleaseNumber {
  unsigned major;
  unsigned minor;
  unsigned patch;
  // clang-tidy 14 takes the operator for a zero. NOLINTNEXTLINE(modernize-use-nullptr)
  auto operator<=>(const ReleaseNumber&) const = default;
  std::string text() const;  // "1.16.0"
};
// The release "1.16.0". Returns nothing for other strings, such as "1.17.0-dev".
std::optional<ReleaseNumber> parse_release(std::string_view text);
// Whether `text` is a version that a Firecracker may report: "1.16.0", "1.17.0-dev".
bool is_vmm_version(std::string_view text);

// The variants of the page size in a header, in their order.
enum class PageSizes { none_2m, none_transparent_2m };

// One row of the table: one layout of one snapshot version. A version that two releases write with
// different layouts has two rows.
struct Format {
  std::string_view version;  // the snapshot version: "8.0.0"
  Layout layout;
  Encoding encoding;
  PageSizes page_sizes;
  bool is_assumed;  // whether it is only assumed that the version has this layout
  // The releases that write it: those with patch numbers from that of `first` to `last_patch`.
  // Nothing if no release does.
  std::optional<ReleaseNumber> first;
  unsigned last_patch;

  std::vector<ReleaseNumber> releases() const;  // oldest first
};

// The whole table, oldest first. The rows of one version follow each other.
std::span<const Format> all_formats();
// The rows of snapshot version `version`, oldest first. Empty if the version is not known.
std::span<const Format> formats_of(std::string_view version);
// A row of `version`; for an unknown version the row of the newest version before it, or else the
// oldest row.
const Format& format_like(std::string_view version);
// Whether `version` is newer than all known ones.
bool is_newer_version(std::string_view version);

// The releases that write and load snapshot version `version`, oldest first. Empty if the version
// is not known.
std::vector<ReleaseNumber> releases_that_load(std::string_view version);

// The snapshot versions that a release may load. A release that is not in the table loads one from
// that of the release before it to that of the release after it, because the version never
// decreases from release to release. An empty end has no limit on that side.
struct VersionRange {
  std::string_view oldest;
  std::string_view newest;
  bool includes(std::string_view version) const;
  std::string text() const;  // "10.0.0", "8.0.0 to 9.0.0", "12.0.0 or later"
};
VersionRange versions_loaded_by(ReleaseNumber release);

// Whether only releases before `release` write `version`. If `version` is not known, the known
// version before it decides.
bool is_older_than(std::string_view version, ReleaseNumber release);

}  // namespace meta::vmstate
