// SPDX-License-Identifier: Apache-2.0
// Walks a Type and takes each of its parts from the bytes in turn; stops at the first misfit.
#include "meta/vmstate/bincode_reader.h"

#include <algorithm>

#include "base/little_endian.h"
#include "base/utf8.h"

namespace meta::vmstate {
namespace {

class BincodeReader {
 public:
  BincodeReader(std::string_view bytes, size_t offset, Budget& budget, std::vector<Field>& found)
      : bytes_(bytes), at_(offset), budget_(budget), found_(found) {}

  size_t offset() const { return at_; }

  // Returns false if the bytes are not a value of `type`.
  bool read(const Type& type) {
    if (!budget_.spend(1)) {
      return false;
    }
    switch (type.kind) {
      case Kind::u8:
        return number(type, 1);
      case Kind::u16:
        return number(type, 2);
      case Kind::u32:
        return number(type, 4);
      case Kind::u64:
        return number(type, 8);
      case Kind::boolean: {
        const std::optional<uint64_t> value = take(1);
        note(type, 0, value.value_or(0));
        return value && *value <= 1;
      }
      case Kind::text:
        return text(type);
      case Kind::tuple:
        return std::ranges::all_of(type.parts, [&](const Type* part) { return read(*part); });
      case Kind::sequence:
        return sequence(type);
      case Kind::option: {
        const std::optional<uint64_t> tag = take(1);
        return tag && *tag <= 1 && (*tag == 0 || read(*type.parts[0]));
      }
      case Kind::choice: {
        const std::optional<uint64_t> variant = take(4);
        if (!variant || *variant >= type.parts.size() ||
            (type.constant && *variant != *type.constant)) {
          return false;
        }
        note(type, 0, *variant);
        return read(*type.parts[*variant]);
      }
    }
    return false;
  }

 private:
  std::optional<uint64_t> take(size_t width) {
    if (bytes_.size() - at_ < width) {
      return std::nullopt;
    }
    const uint64_t value = base::read_little_endian(bytes_.substr(at_, width));
    at_ += width;
    return value;
  }

  bool number(const Type& type, size_t width) {
    const std::optional<uint64_t> value = take(width);
    if (!value || (type.constant && *value != *type.constant)) {
      return false;
    }
    note(type, 0, *value);
    return true;
  }

  bool text(const Type& type) {
    const std::optional<uint64_t> length = take(8);
    if (!length || *length > bytes_.size() - at_ || !budget_.spend(*length) ||
        !base::is_utf8(bytes_.substr(at_, *length))) {
      return false;
    }
    note(type, at_, *length, at_ - sizeof(uint64_t));
    at_ += *length;
    return true;
  }

  bool sequence(const Type& type) {
    const std::optional<uint64_t> length = take(8);
    // Each element takes at least one byte.
    if (!length || *length > bytes_.size() - at_) {
      return false;
    }
    for (uint64_t i = 0; i < *length; ++i) {
      if (!read(*type.parts[0])) {
        return false;
      }
    }
    return true;
  }

  void note(const Type& type, size_t offset, uint64_t value, size_t lengths_at = 0) {
    if (type.role != Role::none) {
      found_.push_back(
          {.role = type.role, .offset = offset, .value = value, .lengths_at = lengths_at});
    }
  }

  std::string_view bytes_;
  size_t at_;
  Budget& budget_;
  std::vector<Field>& found_;
};

}  // namespace

std::optional<size_t> read_bincode(std::string_view bytes, size_t offset, const Type& type,
                                   Budget& budget, std::vector<Field>& found) {
  BincodeReader reader(bytes, offset, budget, found);
  return reader.read(type) ? std::optional(reader.offset()) : std::nullopt;
}

}  // namespace meta::vmstate
