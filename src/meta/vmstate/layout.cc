// SPDX-License-Identifier: Apache-2.0
// Builds the layouts of the devices, one member function for each Rust struct.
//
// The source of each layout is the set of structs that derive serde's Serialize at the release's
// tag: src/vmm/src/persist.rs, device_manager/ and devices/ (for 1.13 also src/pci). Comments name
// struct members where that helps to find them. docs/vmstate.md describes how to add a release.
#include "meta/vmstate/layout.h"

#include <utility>

namespace meta::vmstate {
namespace {

// The devices of Firecracker, in the order of `enum VirtioDeviceType` (1.15 and later), with the
// device types of the virtio specification (before 1.15).
struct DeviceType {
  uint64_t variant;
  uint64_t virtio_id;
};
constexpr DeviceType kNet{.variant = 0, .virtio_id = 1};
constexpr DeviceType kBlock{.variant = 1, .virtio_id = 2};
constexpr DeviceType kEntropy{.variant = 2, .virtio_id = 4};
constexpr DeviceType kBalloon{.variant = 3, .virtio_id = 5};
constexpr DeviceType kVsock{.variant = 4, .virtio_id = 19};
constexpr DeviceType kMemory{.variant = 5, .virtio_id = 24};
constexpr DeviceType kPmem{.variant = 6, .virtio_id = 27};
constexpr size_t kDeviceTypes = 7;

// MMIO_LEN of device_manager/mmio.rs, in all releases: the size of each window.
constexpr uint64_t kMmioLength = 0x1000;

// Builds the types of one layout. Each member function is named after a Rust struct.
class Devices {
 public:
  Devices(TypeArena& arena, Layout layout, Arch arch)
      : arena_(arena), layout_(layout), arch_(arch) {}

  DevicesLayout types() {
    if (layout_ < Layout::v1_13) {  // MicrovmState.device_states, acpi_dev_state
      return {.virtio = mmio_devices(), .tail = acpi(), .has_clock = has_clock()};
    }
    if (layout_ < Layout::after_v1_16) {
      return {.virtio = mmio_devices(),
              .tail = tuple({acpi(), pci_devices(), since(Layout::v1_16, option(serial()))}),
              .has_clock = has_clock()};
    }
    return {.virtio = choice({mmio_devices(), pci_devices()}),
            .tail = tuple({mmio_platform(), acpi(), option(serial())}),
            .has_clock = has_clock()};
  }

 private:
  using Parts = std::vector<const Type*>;

  const Type* leaf(Kind kind, Role role = Role::none) { return arena_.make(kind, {}, role); }
  const Type* u8() { return leaf(Kind::u8); }
  const Type* u16() { return leaf(Kind::u16); }
  const Type* u32() { return leaf(Kind::u32); }
  const Type* u64() { return leaf(Kind::u64); }
  const Type* boolean() { return leaf(Kind::boolean); }
  const Type* text(Role role = Role::none) { return leaf(Kind::text, role); }
  // A null part is one that this layout does not have.
  const Type* tuple(Parts parts) {
    std::erase(parts, nullptr);
    return arena_.make(Kind::tuple, std::move(parts));
  }
  const Type* times(size_t count, const Type* part) { return tuple(Parts(count, part)); }
  const Type* sequence(const Type* part) { return arena_.make(Kind::sequence, {part}); }
  const Type* option(const Type* part) { return arena_.make(Kind::option, {part}); }
  const Type* choice(Parts parts) { return arena_.make(Kind::choice, std::move(parts)); }
  const Type* variants(size_t count) { return choice(Parts(count, tuple({}))); }

  const Type* since(Layout first, const Type* type) { return layout_ >= first ? type : nullptr; }
  const Type* until(Layout last, const Type* type) { return layout_ <= last ? type : nullptr; }

  const Type* mmio_devices() {
    const bool has_legacy = arch_ == Arch::aarch64 && layout_ < Layout::after_v1_16;
    return tuple({has_legacy ? sequence(tuple({device_kind(), mmio_info()})) : nullptr,
                  virtio_devices([&](const Type* state) { return mmio_device(state); })});
  }

  const Type* pci_devices() {
    return tuple({until(Layout::v1_16, boolean()),  // pci_enabled
                  virtio_devices([&](const Type* state) { return pci_device(state); })});
  }

  bool has_clock() const {
    return layout_ >= (arch_ == Arch::x86_64 ? Layout::v1_14 : Layout::v1_15);
  }

  // DeviceStates (MMIO) and PciDevicesState have the same list of devices.
  template <typename Connect>
  const Type* virtio_devices(const Connect& connected) {
    const Type* mmds = layout_ < Layout::v1_13 ? variants(2) : tuple({variants(2), boolean()});
    return tuple({sequence(connected(block())), sequence(connected(net())),
                  option(connected(vsock())), option(connected(balloon())), option(mmds),
                  option(connected(entropy())), since(Layout::v1_14, sequence(connected(pmem()))),
                  since(Layout::v1_14, option(connected(memory())))});
  }

  const Type* mmio_device(const Type* state) {
    return tuple({text(), state, mmio_transport(), mmio_info()});
  }
  const Type* mmio_transport() { return times(layout_ < Layout::v1_13 ? 5 : 6, u32()); }
  const Type* mmio_info() {
    return tuple({u64(), arena_.make_constant(Kind::u64, kMmioLength),
                  layout_ == Layout::v1_10 ? sequence(u32()) : option(u32())});
  }
  const Type* device_kind() { return choice({u32(), tuple({}), tuple({}), tuple({})}); }
  const Type* mmio_platform() {
    return arch_ == Arch::aarch64 ? tuple({option(mmio_info()), option(mmio_info())}) : tuple({});
  }

  const Type* pci_device(const Type* state) {
    return tuple({text(), u32(), state, pci_transport()});
  }
  const Type* pci_transport() {
    const Type* address = layout_ < Layout::v1_16 ? text() : u32();  // PciBdf writes "0000:00:01.0"
    const Type* offset = layout_ < Layout::v1_16 ? u64() : u16();
    const Type* common = tuple({u8(), u8(), u32(), u32(), u16(), u16(), sequence(u16())});
    return tuple({address, boolean(), offset, sequence(u8()), pci_configuration(), common, msix(),
                  until(Layout::v1_13, sequence(u32())),    // msi_vector_group
                  pci_bars(), since(Layout::v1_16, u16()),  // msix_config_cap_offset
                  since(Layout::after_v1_16, u64())});      // bar_address
  }
  const Type* pci_bars() {
    switch (layout_) {
      case Layout::v1_13:  // PciBarConfiguration
        return tuple({u64(), u64(), u64(), variants(3), variants(2)});
      case Layout::v1_14:
      case Layout::v1_15:  // bar_address
        return u64();
      default:
        return times(6, tuple({u32(), u32(), boolean()}));
    }
  }
  const Type* pci_configuration() {
    if (layout_ >= Layout::v1_16) {
      return tuple({sequence(u32()), sequence(u32()), option(tuple({u8(), u8()}))});
    }
    const bool is_1_13 = layout_ == Layout::v1_13;
    const Type* bar = tuple({u32(), u32(), boolean(), is_1_13 ? option(variants(3)) : nullptr});
    const Type* rom_bar = is_1_13 ? tuple({u32(), u32(), boolean()}) : nullptr;
    return tuple({sequence(u32()), sequence(u32()), sequence(bar), rom_bar,
                  option(tuple({u64(), u64()})), option(u64())});
  }
  const Type* msix() {
    return tuple({sequence(times(4, u32())), sequence(u64()), boolean(), boolean(),
                  since(Layout::v1_14, sequence(u32()))});
  }

  // VirtioDeviceState of devices/virtio/persist.rs.
  const Type* virtio(const DeviceType& device, Role features = Role::none) {
    const Type* type =
        layout_ < Layout::v1_15
            ? arena_.make_constant(Kind::u32, device.virtio_id)
            : arena_.make_constant(Kind::choice, device.variant, Parts(kDeviceTypes, tuple({})));
    const Type* queue = tuple({u16(), u16(), boolean(), u64(), u64(), u64(), u16(), u16(), u16()});
    return tuple({type, leaf(Kind::u64, features), u64(), sequence(queue),
                  until(Layout::v1_11, u32()),  // interrupt_status
                  boolean()});
  }
  const Type* rate_limiter() {
    const Type* bucket = times(5, u64());
    return tuple({option(bucket), option(bucket)});
  }

  const Type* block() {
    // id, partuuid, cache_type, root_device
    const Parts common{text(), option(text()), variants(2), boolean()};
    Parts file = common;
    file.insert(file.end(), {text(Role::drive), virtio(kBlock, Role::drive_features),
                             rate_limiter(), variants(2), since(Layout::v1_17, u32()),  // blk_size
                             since(Layout::v1_17, block_topology()),
                             since(Layout::v1_17, u32())});  // discard_sector_alignment
    Parts vhost_user = common;
    vhost_user.insert(vhost_user.end(),
                      {text(Role::vhost_user_block), u64(), sequence(u8()), virtio(kBlock)});
    return choice({tuple(std::move(file)), tuple(std::move(vhost_user))});
  }

  const Type* block_topology() { return tuple({u8(), u8(), u16(), u32()}); }

  const Type* net() {
    const Type* mmds_stack = tuple(
        {times(6, u8()), u32(), u16(), until(Layout::v1_10, u64()), until(Layout::v1_10, u64())});
    const Type* config = tuple({option(text()), since(Layout::v1_16, option(u16()))});
    return tuple({text(Role::iface_id), text(Role::tap), rate_limiter(), rate_limiter(),
                  option(mmds_stack), config, virtio(kNet),
                  until(Layout::v1_11, tuple({u16(), u16(), u32()}))});  // rx_buffers_state
  }

  const Type* vsock() {
    const Type* backend =
        layout_ < Layout::v1_15 ? choice({text(Role::vsock)}) : tuple({text(Role::vsock), u32()});
    return tuple({backend, tuple({u64(), virtio(kVsock), since(Layout::v1_16_2, boolean())})});
  }

  const Type* balloon() {
    const Type* statistics = times(layout_ < Layout::v1_14 ? 10 : 16, option(u64()));
    const Type* hinting = tuple({u32(), u32(), option(u32()), boolean()});
    const Type* polling_interval = leaf(Kind::u16, Role::balloon);
    return tuple({polling_interval, option(u16()), statistics, tuple({u32(), u32()}),
                  since(Layout::v1_14, hinting), virtio(kBalloon)});
  }

  const Type* entropy() { return tuple({virtio(kEntropy), rate_limiter()}); }

  const Type* pmem() {
    const Type* bucket = tuple({u64(), option(u64()), u64()});
    const Type* config =
        tuple({text(), text(Role::pmem), boolean(), leaf(Kind::boolean, Role::pmem_read_only),
               since(Layout::v1_16, option(times(2, option(bucket))))});
    const Type* config_space = tuple({u64(), leaf(Kind::u64, Role::pmem_bytes)});
    return tuple({virtio(kPmem), config_space, config, since(Layout::v1_16, rate_limiter())});
  }

  const Type* memory() {
    return tuple({virtio(kMemory), u64(), leaf(Kind::u64, Role::hotplug_bytes), u64(), u64(), u64(),
                  u64(), sequence(boolean())});
  }

  const Type* acpi() {
    const Type* generation = tuple({u32(), u64()});
    if (layout_ < Layout::v1_14) {
      return option(generation);
    }
    const Type* abi = tuple({arena_.make_constant(Kind::u32, kClockMagic), u32(), u16(), u8(), u8(),
                             u32(), u64(), u64(), times(2, u8()), u8(), u8(), u16(), u8(), u8(),
                             times(8, u64()), since(Layout::v1_15, u64())});
    return tuple(
        {generation, has_clock() ? tuple({u64(), since(Layout::v1_15, u32()), abi}) : nullptr});
  }

  const Type* serial() { return tuple({times(9, u8()), sequence(u8())}); }

  TypeArena& arena_;
  Layout layout_;
  Arch arch_;
};

}  // namespace

const Type* header_type(TypeArena& arena) {
  const auto text = [&](Role role) { return arena.make(Kind::text, {}, role); };
  const auto optional_text = [&](Role role) { return arena.make(Kind::option, {text(role)}); };
  const Type* unit = arena.make(Kind::tuple);
  constexpr size_t kCpuTemplates = 6;
  constexpr size_t kPageSizes = 3;
  return arena.make(
      Kind::tuple,
      {arena.make(Kind::u64, {}, Role::magic), text(Role::version),
       arena.make(Kind::u64, {}, Role::mem_size_mib), arena.make(Kind::boolean),
       arena.make(Kind::choice, std::vector<const Type*>(kCpuTemplates, unit)), text(Role::kernel),
       optional_text(Role::initrd), optional_text(Role::boot_args),
       arena.make(Kind::choice, std::vector<const Type*>(kPageSizes, unit), Role::huge_pages)});
}

DevicesLayout devices_layout(TypeArena& arena, Layout layout, Arch arch) {
  return Devices(arena, layout, arch).types();
}

}  // namespace meta::vmstate
