// SPDX-License-Identifier: Apache-2.0
// Describes the parts of a state file that are read, for each release: the header and the devices.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "meta/vmstate/type.h"

namespace meta::vmstate {

enum class Encoding { bincode, bitcode };
enum class Arch { x86_64, aarch64 };

// The releases whose layouts differ, oldest first. The comment has the snapshot version, which is
// the version of the format that the state file contains.
enum class Release {
  v1_10,        // 3.0.0 and, with the same layout, 4.0.0 (1.10.1)
  v1_11,        // 5.0.0
  v1_12,        // 6.0.0
  v1_13,        // 8.0.0
  v1_14,        // also 8.0.0, with more devices
  v1_15,        // 9.0.0
  v1_16,        // 10.0.0
  v1_16_2,      // 11.0.0: 1.16 with changes that are not published yet; assumed
  after_v1_16,  // 11.0.0: the main branch of August 2026
  v1_17,        // 12.0.0
};

Encoding encoding_of(Release release);
// The releases that write snapshot version `version` ("8.0.0"), oldest first. Empty if the version
// is not known.
std::span<const Release> releases_of(std::string_view version);
// All releases, oldest first.
std::span<const Release> all_releases();
// Whether `version` is newer than all known ones.
bool is_newer_version(std::string_view version);
// Whether `release` is only assumed to write `version`.
bool is_assumed(std::string_view version, Release release);

// The start of every state: magic, version, memory size, SMT, CPU template, kernel, initrd, boot
// arguments, page size. It is the same in all releases.
const Type* header_type(TypeArena& arena);

// The end of a state, up to the CRC: `virtio`, then `tail`.
struct DevicesLayout {
  // The virtio devices on MMIO. From 11.0.0 on, those on PCI too.
  const Type* virtio;
  // The ACPI devices, the devices on PCI (before 11.0.0), the serial line.
  const Type* tail;
  // Whether `tail` contains kClockMagic, at most kClockMagicReach bytes from its start.
  bool has_clock;
};
DevicesLayout devices_layout(TypeArena& arena, Release release, Arch arch);

// The first member of a VMClock page: "VCLK" (vmclock-abi.h of Linux).
inline constexpr uint32_t kClockMagic = 0x4b4c4356;
inline constexpr size_t kClockMagicReach =
    96;  // bytes; larger than what precedes it in any release

}  // namespace meta::vmstate
