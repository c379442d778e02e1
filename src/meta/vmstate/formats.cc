// SPDX-License-Identifier: Apache-2.0
// Holds the table of snapshot versions and answers questions about it.
//
// The sources are SNAPSHOT_VERSION in src/vmm/src/persist.rs at each tag from v1.9.0 to v1.16.1,
// and pull request 6185 for 1.16.2 and 1.17.0. docs/vmstate.md describes how to add a release.
#include "meta/vmstate/formats.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "base/number.h"

namespace meta::vmstate {
namespace {

using enum Encoding;
using enum PageSizes;

// The two assumed rows of 11.0.0: which changes of the main branch 1.16.2 took is not published.
// The third row is the main branch of August 2026.
// clang-format off
constexpr std::array<Format, 13> kFormats{{
    {"3.0.0",  Layout::v1_10,       bincode, none_2m,             false, {{1, 9, 0}},  1},
    {"3.0.0",  Layout::v1_10,       bincode, none_2m,             false, {{1, 10, 0}}, 0},
    {"4.0.0",  Layout::v1_10,       bincode, none_2m,             false, {{1, 10, 1}}, 1},
    {"5.0.0",  Layout::v1_11,       bincode, none_2m,             false, {{1, 11, 0}}, 0},
    {"6.0.0",  Layout::v1_11,       bincode, none_2m,             false, {{1, 12, 0}}, 1},
    {"8.0.0",  Layout::v1_13,       bincode, none_2m,             false, {{1, 13, 0}}, 2},
    {"8.0.0",  Layout::v1_14,       bincode, none_2m,             false, {{1, 14, 0}}, 4},
    {"9.0.0",  Layout::v1_15,       bitcode, none_2m,             false, {{1, 15, 0}}, 1},
    {"10.0.0", Layout::v1_16,       bitcode, none_2m,             false, {{1, 16, 0}}, 1},
    {"11.0.0", Layout::v1_16,       bitcode, none_transparent_2m, true,  {{1, 16, 2}}, 2},
    {"11.0.0", Layout::v1_16_2,     bitcode, none_transparent_2m, true,  {{1, 16, 2}}, 2},
    {"11.0.0", Layout::after_v1_16, bitcode, none_transparent_2m, false, {},              0},
    {"12.0.0", Layout::v1_17,       bitcode, none_transparent_2m, false, {{1, 17, 0}}, 0},
}};
// clang-format on

// A snapshot version as numbers, to compare it with others.
std::tuple<unsigned, unsigned, unsigned> numbers_of(std::string_view version) {
  const auto next = [&] {
    const size_t dot = std::min(version.find('.'), version.size());
    const std::string_view number = version.substr(0, dot);
    version.remove_prefix(std::min(dot + 1, version.size()));
    return base::parse_number<unsigned>(number).value_or(0);
  };
  const unsigned major = next();
  const unsigned minor = next();
  return {major, minor, next()};
}

}  // namespace

std::string ReleaseNumber::text() const {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

std::optional<ReleaseNumber> parse_release(std::string_view text) {
  const auto [major, minor, patch] = numbers_of(text);
  const ReleaseNumber release{major, minor, patch};
  return release.text() == text ? std::optional(release) : std::nullopt;
}

bool is_vmm_version(std::string_view text) {
  constexpr std::string_view kSuffix =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-+_";
  return parse_release(text.substr(0, text.find_first_of("-+"))) &&
         text.find_first_not_of(kSuffix) == std::string_view::npos;
}

std::vector<ReleaseNumber> Format::releases() const {
  std::vector<ReleaseNumber> releases;
  for (std::optional<ReleaseNumber> next = first; next && next->patch <= last_patch;
       ++next->patch) {
    releases.push_back(*next);
  }
  return releases;
}

std::span<const Format> all_formats() {
  return kFormats;
}

std::span<const Format> formats_of(std::string_view version) {
  const auto* const first = std::ranges::find(kFormats, version, &Format::version);
  const auto* const last = std::find_if(
      first, kFormats.end(), [&](const Format& format) { return format.version != version; });
  return {first, last};
}

const Format& format_like(std::string_view version) {
  const auto* const after = std::ranges::upper_bound(
      kFormats, numbers_of(version), {}, [](const Format& f) { return numbers_of(f.version); });
  return after == kFormats.begin() ? *after : *std::prev(after);
}

bool is_newer_version(std::string_view version) {
  return numbers_of(version) > numbers_of(kFormats.back().version);
}

std::vector<ReleaseNumber> releases_that_load(std::string_view version) {
  std::vector<ReleaseNumber> releases;
  for (const Format& format : formats_of(version)) {
    for (const ReleaseNumber& release : format.releases()) {
      if (releases.empty() || releases.back() != release) {
        releases.push_back(release);
      }
    }
  }
  return releases;
}

bool VersionRange::includes(std::string_view version) const {
  const auto wanted = numbers_of(version);
  return (oldest.empty() || numbers_of(oldest) <= wanted) &&
         (newest.empty() || wanted <= numbers_of(newest));
}

std::string VersionRange::text() const {
  if (newest.empty()) {
    return std::string(oldest) + " or later";
  }
  if (oldest.empty()) {
    return std::string(newest) + " or earlier";
  }
  return oldest == newest ? std::string(oldest)
                          : std::string(oldest) + " to " + std::string(newest);
}

VersionRange versions_loaded_by(ReleaseNumber release) {
  VersionRange range;
  for (const Format& row : kFormats) {
    if (!row.first) {
      continue;
    }
    if (*row.first <= release) {
      range.oldest = row.version;
    }
    if (release <= ReleaseNumber{row.first->major, row.first->minor, row.last_patch}) {
      range.newest = row.version;
      break;
    }
  }
  return range;
}

bool is_older_than(std::string_view version, ReleaseNumber release) {
  const std::vector<ReleaseNumber> releases = releases_that_load(format_like(version).version);
  return !is_newer_version(version) && releases.back() < release;
}

}  // namespace meta::vmstate
