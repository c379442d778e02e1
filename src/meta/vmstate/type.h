// SPDX-License-Identifier: Apache-2.0
// How the parts of a Firecracker state are put together, whatever encoding they are written in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace meta {

enum class Kind : uint8_t {
  u8,
  u16,
  u32,
  u64,
  boolean,
  text,
  tuple,     // its parts, one after the other: Rust's structs, tuples and arrays
  sequence,  // a length and that many of its one part
  option,    // nothing, or its one part
  choice,    // one of its parts: a Rust enum, numbered as declared; an empty tuple for no payload
};

// What a part means to us.
enum class Role : uint8_t {
  none,
  magic,
  version,
  mem_size_mib,
  huge_pages,
  kernel,
  initrd,
  boot_args,
  drive,             // file behind a block device
  vhost_user_block,  // socket of a block device's back end
  pmem,              // file behind a pmem device
  vsock,             // socket that Firecracker creates
  tap,               // name of a host interface: no path
  pmem_bytes,        // size of a pmem device, before its file
  balloon,           // there is one
  hotplug_bytes,     // size of the hot-plug region, which the memory file holds, too
};

struct Type {
  Kind kind;
  Role role;
  std::vector<const Type*> parts;
  std::optional<uint64_t> constant;  // the only value that a number may have
};

// Owns types that refer to each other.
class TypeArena {
 public:
  const Type* make(Kind kind, std::vector<const Type*> parts = {}, Role role = Role::none) {
    return &types_.emplace_back(
        Type{.kind = kind, .role = role, .parts = std::move(parts), .constant = std::nullopt});
  }
  const Type* make_constant(Kind kind, uint64_t value) {
    return &types_.emplace_back(
        Type{.kind = kind, .role = Role::none, .parts = {}, .constant = value});
  }

 private:
  std::deque<Type> types_;
};

// A part with a role, as a reader met it.
struct Found {
  Role role;
  size_t offset;      // of a text's first byte in the file; 0 for numbers
  uint64_t value;     // a text's length, a number, a variant's index
  size_t lengths_at;  // where a text's length stands; in bitcode: those of its whole column
  bool operator==(const Found&) const = default;
};

// Both readers stop, as at something that does not fit, when this is used up: a hostile file could
// otherwise make the search for the devices (vmstate.cc) take quadratic time.
struct Effort {
  uint64_t left;
  // False when `amount` is more than what is left.
  bool spend(uint64_t amount) {
    const bool enough = amount <= left;
    left = enough ? left - amount : 0;
    return enough;
  }
};

}  // namespace meta
