// SPDX-License-Identifier: Apache-2.0
// What each release of Firecracker puts into a state file: where it begins, and the devices.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "meta/vmstate/type.h"

namespace meta {

enum class Encoding { bincode, bitcode };
enum class Arch { x86_64, aarch64 };

// The layouts that differ, in order of time. Versions are those of the snapshot format, by which a
// state names itself.
enum class Release {
  v1_10,        // 3.0.0 and, with the same layout, 4.0.0 (1.10.1)
  v1_11,        // 5.0.0
  v1_12,        // 6.0.0
  v1_13,        // 8.0.0
  v1_14,        // 8.0.0 as well, with more devices
  v1_15,        // 9.0.0
  v1_16,        // 10.0.0
  after_v1_16,  // 11.0.0: the main branch of August 2026
  v1_17,        // 12.0.0
};

Encoding encoding_of(Release release);
// The releases that write snapshot version `version` ("8.0.0"): none for one that is not known.
std::span<const Release> releases_of(std::string_view version);

// The beginning of every state: magic, version, memory size, SMT, CPU template, kernel, initrd,
// boot arguments, page size. The same in all releases.
const Type* header_type(TypeArena& arena);

// The end of a state, up to the CRC.
struct DevicesLayout {
  const Type* virtio;  // the devices behind MMIO; from 11.0.0 on those behind PCI as well
  const Type*
      rest;        // what follows: ACPI's devices, before 11.0.0 those behind PCI, the serial line
  bool has_clock;  // `rest` has kClockMagic, at most kClockMagicReach bytes from its start
};
DevicesLayout devices_layout(TypeArena& arena, Release release, Arch arch);

// The first member of a VMClock page (vmclock-abi.h of Linux): "VCLK".
inline constexpr uint32_t kClockMagic = 0x4b4c4356;
inline constexpr size_t kClockMagicReach = 96;

}  // namespace meta
