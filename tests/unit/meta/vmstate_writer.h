// SPDX-License-Identifier: Apache-2.0
// Writes synthetic state files of every release.
//
// The lists of what each release serializes share nothing with the reader's table. States of real
// releases (real_states.h) verify both.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/little_endian.h"
#include "meta/vmstate/bitcode_packing.h"
#include "meta/vmstate/crc64.h"
#include "tests/unit/meta/release_structs_bincode.h"
#include "tests/unit/meta/release_structs_bitcode.h"
#include "tests/unit/meta/vmstate_shape.h"

struct ReleaseFacts {
  std::string_view name;
  const char* version;  // of the snapshot format
  bool is_bitcode;
  bool has_pci;   // and so a list of devices behind it
  bool has_pmem;  // and memory hot-plug
  const char* structs;
};
inline constexpr std::array<ReleaseFacts, 10> kWriterReleases{{
    {"1.10.0", "3.0.0", false, false, false, kStructs1_10},
    {"1.10.1", "4.0.0", false, false, false, kStructs1_10},
    {"1.11", "5.0.0", false, false, false, kStructs1_11},
    {"1.12", "6.0.0", false, false, false, kStructs1_12},
    {"1.13", "8.0.0", false, true, false, kStructs1_13},
    {"1.14", "8.0.0", false, true, true, kStructs1_14},
    {"1.15", "9.0.0", true, true, true, kStructs1_15},
    {"1.16", "10.0.0", true, true, true, kStructs1_16},
    {"after-1.16", "11.0.0", true, true, true, kStructsAfter1_16},
    {"1.17", "12.0.0", true, true, true, kStructs1_17},
}};

inline const ReleaseFacts& writer_release(std::string_view name) {
  const auto* const facts = std::ranges::find(kWriterReleases, name, &ReleaseFacts::name);
  if (facts == kWriterReleases.end()) {
    throw std::invalid_argument("the writer has no release '" + std::string(name) + "'");
  }
  return *facts;
}

// One value of a Shape.
struct StateValue {
  uint64_t number = 0;  // of numbers, booleans; 1 for an option that is there; the variant's index
  std::string text{};
  std::vector<StateValue> parts{};
};

// The devices and facts of a synthetic machine.
struct StatePlan {
  std::string release = "1.16";
  std::optional<std::string> version{};  // in place of the release's own
  std::optional<std::string> structs{};  // in place of the release's own
  bool arm = false;
  uint64_t mem_size_mib = 128;
  std::string kernel = "/boot/vmlinux";
  std::optional<std::string> initrd{};
  std::optional<std::string> boot_args = "console=ttyS0";
  uint64_t huge_pages = 0;  // the variant's index
  bool pci = false;         // devices behind PCI
  std::vector<std::string> drives{};
  std::vector<std::string> vhost_users{};  // used instead of drives
  std::vector<std::string> pmems{};
  std::set<size_t> read_only_drives{};  // their indices
  std::set<size_t> read_only_pmems{};
  std::vector<std::string> taps{};
  std::optional<std::string> vsock{};
  bool balloon = false;
  uint64_t pmem_bytes = 0;
  uint64_t hotplug_bytes = 0;
  bool interrupts = true;  // each device has an interrupt, as real devices do
  // Whether optional members are present and vectors without a count of their own have one element.
  bool everything = false;
};

using base::append_little_endian;

class StateValueMaker {
 public:
  explicit StateValueMaker(const StatePlan& plan)
      : plan_(plan), facts_(writer_release(plan.release)) {}

  StateValue make(const Shape& shape) {
    StateValue value;
    switch (shape.kind) {
      case Shape::Kind::text:
        value.text = text_of(shape.role);
        break;
      case Shape::Kind::tuple: {
        const bool outer = in_unused_list_;
        in_unused_list_ = outer || is_unused_list(shape.name);
        if (const auto* const device = std::ranges::find(kDevices, shape.name, &Device::state);
            device != kDevices.end()) {
          device_ = device;
        }
        for (const Shape& part : shape.parts) {
          value.parts.push_back(make(part));
        }
        in_unused_list_ = outer;
        break;
      }
      case Shape::Kind::sequence:
        for (size_t i = in_unused_list_ ? 0 : count_of(shape.parts[0]); i > 0; --i) {
          value.parts.push_back(make(shape.parts[0]));
        }
        break;
      case Shape::Kind::option:
        value.number = !in_unused_list_ && has(shape.parts[0]) ? 1 : 0;
        if (value.number == 1) {
          value.parts.push_back(make(shape.parts[0]));
        }
        break;
      case Shape::Kind::choice:
        value.number = variant_of(shape);
        value.parts.push_back(make(shape.parts[value.number]));
        break;
      default:
        value.number = number_of(shape.role, shape.bytes);
    }
    return value;
  }

 private:
  // The one of the two lists of devices that this machine does not use.
  bool is_unused_list(std::string_view name) const {
    return name == (plan_.pci ? "DeviceStates" : "PciDevicesState");
  }
  size_t count_of(const Shape& element) const {
    return element.role == "irq"       ? (plan_.interrupts ? 1 : 0)
           : element.contains("drive") ? std::max(plan_.drives.size(), plan_.vhost_users.size())
           : element.contains("pmem")  ? plan_.pmems.size()
           : element.contains("tap")   ? plan_.taps.size()
           : plan_.everything          ? 1
                                       : 0;
  }
  bool has(const Shape& inner) const {
    const std::array<std::pair<std::string_view, bool>, 6> known{{
        {"vsock", plan_.vsock.has_value()},
        {"balloon", plan_.balloon},
        {"hotplug_bytes", plan_.hotplug_bytes != 0},
        {"initrd", plan_.initrd.has_value()},
        {"boot_args", plan_.boot_args.has_value()},
        {"irq", plan_.interrupts},  // last, as devices contain one
    }};
    for (const auto& [role, is_there] : known) {
      if (inner.role == role || (role != "irq" && inner.contains(role))) {
        return is_there;
      }
    }
    return plan_.everything;
  }
  uint64_t variant_of(const Shape& shape) const {
    return shape.role == "huge_pages"                                   ? plan_.huge_pages
           : shape.role == "device_type"                                ? device_->variant
           : shape.role == "virtio"                                     ? (plan_.pci ? 1 : 0)
           : shape.contains("vhost_user") && !plan_.vhost_users.empty() ? 1
                                                                        : 0;
  }
  uint64_t number_of(std::string_view role, size_t bytes) const {
    constexpr uint64_t kMagicX86 = 0x0710198486640000;
    constexpr uint64_t kMagicArm = 0x07101984aaaa0000;
    constexpr uint64_t kVmClock = 0x4b4c4356;  // "VCLK"
    return role == "magic"            ? (plan_.arm ? kMagicArm : kMagicX86)
           : role == "mem_size"       ? plan_.mem_size_mib
           : role == "hotplug_bytes"  ? plan_.hotplug_bytes
           : role == "pmem_bytes"     ? plan_.pmem_bytes
           : role == "vclk"           ? kVmClock
           : role == "features"       ? features()
           : role == "pmem_read_only" ? (plan_.read_only_pmems.contains(next_pmem_ - 1) ? 1 : 0)
           : role == "virtio_id"      ? device_->virtio_id
           : role == "mmio_length"    ? 0x1000
           : bytes == 4               ? 5
                                      : 0;
  }
  // VERSION_1, EVENT_IDX and, of a read-only drive, VIRTIO_BLK_F_RO.
  uint64_t features() const {
    constexpr uint64_t kCommon = uint64_t{1} << 32U | uint64_t{1} << 29U;
    const bool is_drive = device_->state == "VirtioBlockState";
    return kCommon | (is_drive && plan_.read_only_drives.contains(next_drive_ - 1) ? 1U << 5U : 0U);
  }
  std::string text_of(std::string_view role) {
    return role == "version"      ? plan_.version.value_or(facts_.version)
           : role == "kernel"     ? plan_.kernel
           : role == "initrd"     ? *plan_.initrd
           : role == "boot_args"  ? *plan_.boot_args
           : role == "vsock"      ? *plan_.vsock
           : role == "drive"      ? plan_.drives.at(next_drive_++)
           : role == "vhost_user" ? plan_.vhost_users.at(next_drive_++)
           : role == "pmem"       ? plan_.pmems.at(next_pmem_++)
           : role == "tap"        ? plan_.taps.at(next_tap_++)
                                  : "id" + std::to_string(next_id_++);
  }

  // The struct of a device, its place in VirtioDeviceType, its device type in the virtio
  // specification.
  struct Device {
    std::string_view state;
    uint64_t variant;
    uint64_t virtio_id;
  };
  static constexpr std::array<Device, 8> kDevices{{{"NetState", 0, 1},
                                                   {"VirtioBlockState", 1, 2},
                                                   {"VhostUserBlockState", 1, 2},
                                                   {"EntropyState", 2, 4},
                                                   {"BalloonState", 3, 5},
                                                   {"VsockState", 4, 19},
                                                   {"VirtioMemState", 5, 24},
                                                   {"PmemState", 6, 27}}};

  const StatePlan& plan_;
  const ReleaseFacts& facts_;
  const Device* device_ = kDevices.data();  // whose members are made
  bool in_unused_list_ = false;
  size_t next_drive_ = 0;
  size_t next_pmem_ = 0;
  size_t next_tap_ = 0;
  int next_id_ = 0;
};

// Writes fixed-width little-endian values in order.
inline void write_bincode(const Shape& shape, const StateValue& value, std::string& bytes) {
  switch (shape.kind) {
    case Shape::Kind::number:
      append_little_endian(bytes, value.number, shape.bytes);
      return;
    case Shape::Kind::boolean:
      append_little_endian(bytes, value.number, 1);
      return;
    case Shape::Kind::text:
      append_little_endian(bytes, value.text.size(), 8);
      bytes += value.text;
      return;
    case Shape::Kind::sequence:
      append_little_endian(bytes, value.parts.size(), 8);
      break;
    case Shape::Kind::option:
      append_little_endian(bytes, value.number, 1);
      break;
    case Shape::Kind::choice:
      append_little_endian(bytes, value.number, 4);
      break;
    case Shape::Kind::tuple:
      break;
  }
  for (size_t i = 0; i < value.parts.size(); ++i) {
    const size_t part = shape.kind == Shape::Kind::tuple    ? i
                        : shape.kind == Shape::Kind::choice ? value.number
                                                            : 0;
    write_bincode(shape.parts[part], value.parts[i], bytes);
  }
}

// All values of one member, across all elements of the vectors around it, form a column.
class BitcodeWriter {
 public:
  static std::string write(const Shape& shape, const StateValue& value) {
    Column root;
    visit(shape, value, root);
    std::string bytes;
    emit(root, bytes);
    return bytes;
  }

 private:
  struct Column {
    const Shape* shape = nullptr;   // null: no value
    std::vector<uint64_t> numbers;  // lengths and variants, too
    std::string text;
    std::vector<Column> parts;
  };

  static void visit(const Shape& shape, const StateValue& value, Column& column) {
    column.shape = &shape;
    column.parts.resize(shape.parts.size());
    column.numbers.push_back(shape.kind == Shape::Kind::text       ? value.text.size()
                             : shape.kind == Shape::Kind::sequence ? value.parts.size()
                                                                   : value.number);
    column.text += value.text;
    for (size_t i = 0; i < value.parts.size(); ++i) {
      const size_t part = shape.kind == Shape::Kind::tuple    ? i
                          : shape.kind == Shape::Kind::choice ? value.number
                                                              : 0;
      visit(shape.parts[part], value.parts[i], column.parts[part]);
    }
  }

  static void pack_booleans(const std::vector<uint64_t>& values, std::string& bytes) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (i % 8 == 0) {
        bytes += '\0';
      }
      bytes.back() = static_cast<char>(bytes.back() | static_cast<char>(values[i] << i % 8));
    }
  }

  static void emit(const Column& column, std::string& bytes) {
    if (column.shape == nullptr) {
      return;
    }
    switch (column.shape->kind) {
      case Shape::Kind::number:
        if (column.shape->bytes == 1) {
          meta::vmstate::pack_bytes(column.numbers, bytes);
        } else {
          meta::vmstate::pack_numbers(column.numbers, column.shape->bytes, bytes);
        }
        break;
      case Shape::Kind::option:
      case Shape::Kind::choice:
        meta::vmstate::pack_bytes(column.numbers, bytes);
        break;
      case Shape::Kind::boolean:
        pack_booleans(column.numbers, bytes);
        break;
      case Shape::Kind::text:
      case Shape::Kind::sequence:
        meta::vmstate::pack_lengths(column.numbers, bytes);
        bytes += column.text;
        break;
      case Shape::Kind::tuple:
        break;
    }
    for (const Column& part : column.parts) {
      emit(part, bytes);
    }
  }
};

inline std::string with_crc(std::string bytes) {
  append_little_endian(bytes, meta::vmstate::crc64(bytes), 8);
  return bytes;
}

// A whole state file, with `filler` in place of KVM's structures.
inline std::string make_state(const StatePlan& plan,
                              std::string_view filler = "\x01\x02\xff\x03\x04\xff\x05\xff") {
  const ReleaseFacts& facts = writer_release(plan.release);
  const ShapeParser parser(plan.structs ? std::string_view(*plan.structs) : facts.structs,
                           plan.arm);
  const Shape header = parser.parse("u64:magic text:version VmInfo");
  const Shape devices = parser.parse("DevicesState");
  StateValueMaker maker(plan);
  const StateValue header_value = maker.make(header);
  const StateValue devices_value = maker.make(devices);
  std::string bytes;
  if (facts.is_bitcode) {
    bytes = BitcodeWriter::write(header, header_value);
    bytes += filler;
    bytes += BitcodeWriter::write(devices, devices_value);
  } else {
    write_bincode(header, header_value, bytes);
    bytes += filler;
    write_bincode(devices, devices_value, bytes);
  }
  return with_crc(std::move(bytes));
}
