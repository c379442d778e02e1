// Writes state files of releases that no fixture is from, out of the same types that the readers
// use. So it shows that the readers follow a type, not that a type is Firecracker's: for that there
// are the fixtures of 1.14.0 and 1.16.0. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "meta/bitcode_packing.h"
#include "meta/crc64.h"
#include "meta/vmstate_layout.h"

// One value of a meta::Type.
struct StateValue {
  uint64_t number = 0;  // of numbers, booleans; 1 for an option that is there; the variant's index
  std::string text;
  std::vector<StateValue> parts;
};

// What a made-up machine has.
struct StatePlan {
  std::string version = "10.0.0";
  meta::Arch arch = meta::Arch::x86_64;
  uint64_t mem_size_mib = 128;
  std::string kernel = "/boot/vmlinux";
  std::optional<std::string> initrd{};
  std::optional<std::string> boot_args = "console=ttyS0";
  uint64_t huge_pages = 0;  // the variant's index
  bool pci = false;         // devices behind PCI
  std::vector<std::string> drives{};
  std::vector<std::string> vhost_users{};  // in place of drives
  std::vector<std::string> pmems{};
  std::vector<std::string> taps{};
  std::optional<std::string> vsock{};
  bool balloon = false;
  uint64_t pmem_bytes = 0;
  uint64_t hotplug_bytes = 0;
  bool interrupts = true;  // each device has one, as real ones do
};

using meta::append_number;

class StateValueMaker {
 public:
  explicit StateValueMaker(const StatePlan& plan) : plan_(plan) {}

  StateValue make(const meta::Type& type, bool with_devices) {
    StateValue value;
    switch (type.kind) {
      case meta::Kind::text:
        value.text = text_of(type.role);
        break;
      case meta::Kind::tuple:
        for (const meta::Type* part : type.parts) {
          value.parts.push_back(make(*part, with_devices));
        }
        break;
      case meta::Kind::sequence:
        for (size_t i = with_devices ? count_of(*type.parts[0]) : 0; i > 0; --i) {
          value.parts.push_back(make(*type.parts[0], with_devices));
        }
        break;
      case meta::Kind::option:
        value.number = with_devices && has(*type.parts[0]) ? 1 : 0;
        if (value.number == 1) {
          value.parts.push_back(make(*type.parts[0], with_devices));
        }
        break;
      case meta::Kind::choice:
        value.number = variant_of(type);
        value.parts.push_back(make(*type.parts[value.number], with_devices));
        break;
      default:
        value.number = number_of(type);
    }
    return value;
  }

 private:
  static bool contains(const meta::Type& type, meta::Role role) {
    return type.role == role || std::ranges::any_of(type.parts, [&](const meta::Type* part) {
             return contains(*part, role);
           });
  }
  size_t count_of(const meta::Type& element) const {
    if (element.kind == meta::Kind::u32) {
      return plan_.interrupts ? 1 : 0;
    }
    return contains(element, meta::Role::drive)
               ? std::max(plan_.drives.size(), plan_.vhost_users.size())
           : contains(element, meta::Role::pmem) ? plan_.pmems.size()
           : contains(element, meta::Role::tap)  ? plan_.taps.size()
                                                 : 0;
  }
  bool has(const meta::Type& inner) const {
    return (inner.kind == meta::Kind::u32 && plan_.interrupts) ||
           (contains(inner, meta::Role::vsock) && plan_.vsock) ||
           (contains(inner, meta::Role::balloon) && plan_.balloon) ||
           (contains(inner, meta::Role::hotplug_bytes) && plan_.hotplug_bytes != 0) ||
           (contains(inner, meta::Role::initrd) && plan_.initrd) ||
           (contains(inner, meta::Role::boot_args) && plan_.boot_args);
  }
  uint64_t variant_of(const meta::Type& type) const {
    if (type.role == meta::Role::huge_pages) {
      return plan_.huge_pages;
    }
    if (contains(type, meta::Role::vsock) && contains(type, meta::Role::drive)) {
      return plan_.pci ? 1 : 0;  // of VirtioDevicesState
    }
    return contains(type, meta::Role::vhost_user_block) && !plan_.vhost_users.empty() ? 1 : 0;
  }
  uint64_t number_of(const meta::Type& type) const {
    if (type.constant) {
      return *type.constant;
    }
    switch (type.role) {
      case meta::Role::magic:
        return plan_.arch == meta::Arch::x86_64 ? 0x0710198486640000 : 0x07101984aaaa0000;
      case meta::Role::mem_size_mib:
        return plan_.mem_size_mib;
      case meta::Role::hotplug_bytes:
        return plan_.hotplug_bytes;
      case meta::Role::pmem_bytes:
        return plan_.pmem_bytes;
      default:
        return type.kind == meta::Kind::u32 ? 5 : 0;
    }
  }
  std::string text_of(meta::Role role) {
    switch (role) {
      case meta::Role::version:
        return plan_.version;
      case meta::Role::kernel:
        return plan_.kernel;
      case meta::Role::initrd:
        return *plan_.initrd;
      case meta::Role::boot_args:
        return *plan_.boot_args;
      case meta::Role::drive:
        return plan_.drives.at(next_drive_++);
      case meta::Role::vhost_user_block:
        return plan_.vhost_users.at(next_drive_++);
      case meta::Role::pmem:
        return plan_.pmems.at(next_pmem_++);
      case meta::Role::tap:
        return plan_.taps.at(next_tap_++);
      case meta::Role::vsock:
        return *plan_.vsock;
      default:
        return "id" + std::to_string(next_id_++);
    }
  }

  const StatePlan& plan_;
  size_t next_drive_ = 0;
  size_t next_pmem_ = 0;
  size_t next_tap_ = 0;
  int next_id_ = 0;
};

inline void write_bincode(const meta::Type& type, const StateValue& value, std::string& bytes) {
  switch (type.kind) {
    case meta::Kind::u8:
    case meta::Kind::boolean:
      append_number(bytes, value.number, 1);
      break;
    case meta::Kind::u16:
      append_number(bytes, value.number, 2);
      break;
    case meta::Kind::u32:
      append_number(bytes, value.number, 4);
      break;
    case meta::Kind::u64:
      append_number(bytes, value.number, 8);
      break;
    case meta::Kind::text:
      append_number(bytes, value.text.size(), 8);
      bytes += value.text;
      break;
    case meta::Kind::tuple:
      for (size_t i = 0; i < type.parts.size(); ++i) {
        write_bincode(*type.parts[i], value.parts[i], bytes);
      }
      break;
    case meta::Kind::sequence:
      append_number(bytes, value.parts.size(), 8);
      for (const StateValue& part : value.parts) {
        write_bincode(*type.parts[0], part, bytes);
      }
      break;
    case meta::Kind::option:
      append_number(bytes, value.number, 1);
      if (value.number == 1) {
        write_bincode(*type.parts[0], value.parts[0], bytes);
      }
      break;
    case meta::Kind::choice:
      append_number(bytes, value.number, 4);
      write_bincode(*type.parts[value.number], value.parts[0], bytes);
      break;
  }
}

class BitcodeWriter {
 public:
  std::string write(const meta::Type& type, const StateValue& value) {
    root_ = std::make_unique<Column>();
    columns_.clear();
    visit(type, value, *root_);
    std::string bytes;
    for (const auto& [kind, column] : columns_) {
      emit(kind, *column, bytes);
    }
    return bytes;
  }

 private:
  struct Column {
    bool seen = false;
    std::vector<uint64_t> numbers;  // lengths and variants too
    std::string text;
    std::vector<std::unique_ptr<Column>> parts;
  };

  static void pack_booleans(const std::vector<uint64_t>& values, std::string& bytes) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (i % 8 == 0) {
        bytes += '\0';
      }
      bytes.back() = static_cast<char>(bytes.back() | static_cast<char>(values[i] << i % 8));
    }
  }

  static Column& part(Column& column, size_t index) {
    while (column.parts.size() <= index) {
      column.parts.push_back(std::make_unique<Column>());
    }
    return *column.parts[index];
  }

  void visit(const meta::Type& type, const StateValue& value, Column& column) {
    if (!column.seen && type.kind != meta::Kind::tuple) {
      columns_.emplace_back(type.kind, &column);
    }
    column.seen = true;
    switch (type.kind) {
      case meta::Kind::text:
        column.numbers.push_back(value.text.size());
        column.text += value.text;
        break;
      case meta::Kind::tuple:
        for (size_t i = 0; i < type.parts.size(); ++i) {
          visit(*type.parts[i], value.parts[i], part(column, i));
        }
        break;
      case meta::Kind::sequence:
        column.numbers.push_back(value.parts.size());
        for (const StateValue& element : value.parts) {
          visit(*type.parts[0], element, part(column, 0));
        }
        break;
      case meta::Kind::option:
        column.numbers.push_back(value.number);
        if (value.number == 1) {
          visit(*type.parts[0], value.parts[0], part(column, 0));
        }
        break;
      case meta::Kind::choice:
        column.numbers.push_back(value.number);
        visit(*type.parts[value.number], value.parts[0], part(column, value.number));
        break;
      default:
        column.numbers.push_back(value.number);
    }
  }

  static void emit(meta::Kind kind, const Column& column, std::string& bytes) {
    switch (kind) {
      case meta::Kind::u8:
      case meta::Kind::option:
      case meta::Kind::choice:
        meta::pack_bytes(column.numbers, bytes);
        break;
      case meta::Kind::u16:
        meta::pack_numbers(column.numbers, 2, bytes);
        break;
      case meta::Kind::u32:
        meta::pack_numbers(column.numbers, 4, bytes);
        break;
      case meta::Kind::u64:
        meta::pack_numbers(column.numbers, 8, bytes);
        break;
      case meta::Kind::boolean:
        pack_booleans(column.numbers, bytes);
        break;
      case meta::Kind::text:
      case meta::Kind::sequence:
        meta::pack_lengths(column.numbers, bytes);
        bytes += column.text;
        break;
      case meta::Kind::tuple:
        break;
    }
  }

  std::unique_ptr<Column> root_;
  std::vector<std::pair<meta::Kind, Column*>> columns_;
};

inline std::string with_crc(std::string bytes) {
  append_number(bytes, meta::crc64(bytes), 8);
  return bytes;
}

// A whole state file of `release`, with `filler` where KVM's structures are.
inline std::string make_state(const StatePlan& plan, meta::Release release,
                              std::string_view filler = "\x01\x02\xff\x03\x04\xff\x05\xff") {
  meta::TypeArena arena;
  const meta::Type* header = meta::header_type(arena);
  const meta::DevicesLayout devices = meta::devices_layout(arena, release, plan.arch);
  const bool rest_has_pci = release >= meta::Release::v1_13 && release <= meta::Release::v1_16;
  StateValueMaker maker(plan);
  const StateValue header_value = maker.make(*header, true);
  const StateValue virtio = maker.make(*devices.virtio, !(plan.pci && rest_has_pci));
  const StateValue rest = maker.make(*devices.rest, plan.pci && rest_has_pci);
  std::string bytes;
  if (meta::encoding_of(release) == meta::Encoding::bincode) {
    write_bincode(*header, header_value, bytes);
    bytes += filler;
    write_bincode(*devices.virtio, virtio, bytes);
    write_bincode(*devices.rest, rest, bytes);
  } else {
    BitcodeWriter writer;
    bytes = writer.write(*header, header_value);
    bytes += filler;
    bytes += writer.write(*devices.virtio, virtio);
    bytes += writer.write(*devices.rest, rest);
  }
  return with_crc(std::move(bytes));
}
