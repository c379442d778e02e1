// SPDX-License-Identifier: Apache-2.0
// Describes the parts of a state file that are read: the header, and the devices in each layout.
#pragma once

#include <cstddef>
#include <cstdint>

#include "meta/vmstate/type.h"

namespace meta::vmstate {

enum class Encoding { bincode, bitcode };
enum class Arch { x86_64, aarch64 };

// The layouts of the devices, oldest first, each with the name of the first release that has it.
// Which snapshot version has which layout: formats.cc.
enum class Layout {
  v1_10,  // also of 1.9
  v1_11,  // also of 1.12
  v1_13,
  v1_14,
  v1_15,
  v1_16,
  v1_16_2,      // 1.16 with a change that is not published yet; assumed
  after_v1_16,  // the main branch of August 2026
  v1_17,
};

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
DevicesLayout devices_layout(TypeArena& arena, Layout layout, Arch arch);

// The first member of a VMClock page: "VCLK" (vmclock-abi.h of Linux).
inline constexpr uint32_t kClockMagic = 0x4b4c4356;
inline constexpr size_t kClockMagicReach =
    96;  // bytes; larger than what precedes it in any release

}  // namespace meta::vmstate
