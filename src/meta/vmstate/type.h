// SPDX-License-Identifier: Apache-2.0
// Describes the structure of a Firecracker state, independent of the encoding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace meta::vmstate {

enum class Kind : uint8_t {
  u8,
  u16,
  u32,
  u64,
  boolean,
  text,
  tuple,     // all its parts in order: a struct, tuple or array of Rust
  sequence,  // a length, then that many values of its only part
  option,    // nothing, or its only part
  choice,    // one of its parts: an enum of Rust. A variant without data is an empty tuple.
};

// What the reader needs a part for.
enum class Role : uint8_t {
  none,
  magic,
  version,
  mem_size_mib,
  huge_pages,
  kernel,
  initrd,
  boot_args,
  drive,             // file of a block device
  vhost_user_block,  // socket of the back end of a block device
  pmem,              // file of a pmem device
  vsock,             // socket that Firecracker creates
  iface_id,          // name of a network interface in Firecracker's API; precedes its tap
  tap,               // name of a host network interface; not a path
  drive_features,    // virtio features of a block device; follows its file
  pmem_read_only,    // whether a pmem device cannot be written; follows its file
  pmem_bytes,        // size of a pmem device; precedes its file
  balloon,           // present if the guest has a balloon
  hotplug_bytes,     // size of the hot-plug region, which the memory file also contains
};

struct Type {
  Kind kind;
  Role role;
  std::vector<const Type*> parts;
  std::optional<uint64_t> constant;  // the only valid value of a number, or variant of a choice
};

// Owns types that refer to each other.
class TypeArena {
 public:
  const Type* make(Kind kind, std::vector<const Type*> parts = {}, Role role = Role::none) {
    return &types_.emplace_back(
        Type{.kind = kind, .role = role, .parts = std::move(parts), .constant = std::nullopt});
  }
  const Type* make_constant(Kind kind, uint64_t value, std::vector<const Type*> parts = {}) {
    return &types_.emplace_back(
        Type{.kind = kind, .role = Role::none, .parts = std::move(parts), .constant = value});
  }

 private:
  std::deque<Type> types_;
};

// A part with a role that a reader found in a file.
struct Field {
  Role role;
  size_t offset;      // of the first byte of a string in the file; 0 for a number
  uint64_t value;     // the length of a string, a number, or the index of a variant
  size_t lengths_at;  // offset of the length of a string; in bitcode, of the lengths of its column
  bool operator==(const Field&) const = default;
};

// A limit for the work of a reader. When it is used up, the readers stop as they do at a misfit.
// Without it, a hostile file could make search_devices take quadratic time.
struct Budget {
  uint64_t left;
  // Returns false if `amount` exceeds what is left.
  bool spend(uint64_t amount) {
    const bool enough = amount <= left;
    left = enough ? left - amount : 0;
    return enough;
  }
};

}  // namespace meta::vmstate
