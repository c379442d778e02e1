// SPDX-License-Identifier: Apache-2.0
// Unrolls a Type into columns, unpacks each column where the encoder wrote it, and walks the tree.
#include "meta/vmstate/bitcode_reader.h"

#include <algorithm>
#include <array>

#include "base/little_endian.h"
#include "base/utf8.h"

namespace meta::vmstate {
namespace {

// Booleans have the densest packing.
constexpr uint64_t kMostValuesPerByte = 8;

// A column of up to this many bytes has no selector, because a selector would only lengthen it.
constexpr uint64_t kUnpackedBytes = 2;

constexpr uint8_t kLongLength = 255;

// The enums in layout.cc have at most this many variants.
constexpr size_t kMostVariants = 8;

size_t width_of(Kind kind) {
  switch (kind) {
    case Kind::u16:
      return 2;
    case Kind::u32:
      return 4;
    case Kind::u64:
      return 8;
    default:
      return 1;
  }
}

// Most numbers have neither a role nor a required value and are skipped.
bool needs_values(const Type& type) {
  return type.role != Role::none || type.constant;
}

}  // namespace

BitcodeReader::BitcodeReader(const Type& type) {
  columns_.push_back({.type = &type});
  add_parts(0);
}

// Unrolls the tree. A type that occurs twice in the tree has two columns.
void BitcodeReader::add_parts(size_t column) {
  const size_t first = columns_.size();
  columns_[column].first_part = first;
  const std::vector<const Type*>& parts = columns_[column].type->parts;
  for (const Type* part : parts) {
    columns_.push_back({.type = part});
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    add_parts(first + i);
  }
}

std::optional<size_t> BitcodeReader::read(std::string_view bytes, size_t offset, Budget& budget,
                                          std::vector<Field>& found) {
  bytes_ = bytes;
  at_ = offset;
  budget_ = &budget;
  found_ = &found;
  ++round_;
  expect(0, 1);
  return read_value(0) ? std::optional(at_) : std::nullopt;
}

void BitcodeReader::expect(size_t column, uint64_t count) {
  Column& c = columns_[column];
  c.round = round_;
  c.unpacked = false;
  c.count = count;
}

bool BitcodeReader::read_value(size_t column) {
  Column& c = columns_[column];
  if (!budget_->spend(1) || (!c.unpacked && !unpack(column))) {
    return false;
  }
  const auto note = [&](size_t offset, uint64_t value) {
    if (c.type->role != Role::none) {
      found_->push_back(
          {.role = c.type->role, .offset = offset, .value = value, .lengths_at = c.lengths_at});
    }
  };
  switch (c.type->kind) {
    case Kind::u8:
    case Kind::u16:
    case Kind::u32:
    case Kind::u64:
      if (needs_values(*c.type)) {
        const uint64_t value = c.wide[c.next++];
        note(0, value);
        return !c.type->constant || value == *c.type->constant;
      }
      return true;
    case Kind::boolean:
      if (needs_values(*c.type)) {
        note(0, c.small[c.next++]);
      }
      return true;
    case Kind::text: {
      const uint64_t length = next_length(c);
      note(c.text_at, length);
      c.text_at += length;
      return true;
    }
    case Kind::tuple:
      for (size_t i = 0; i < c.type->parts.size(); ++i) {
        if (!read_value(c.first_part + i)) {
          return false;
        }
      }
      return true;
    case Kind::sequence: {
      for (uint64_t left = next_length(c); left > 0; --left) {
        if (!read_value(c.first_part)) {
          return false;
        }
      }
      return true;
    }
    case Kind::option:
      return c.small[c.next++] == 0 || read_value(c.first_part);
    case Kind::choice: {
      const uint8_t variant = c.small[c.next++];
      note(0, variant);
      return (!c.type->constant || variant == *c.type->constant) &&
             read_value(c.first_part + variant);
    }
  }
  return false;
}

// Takes all values of a column from the file, at the position where the first one is needed.
bool BitcodeReader::unpack(size_t column) {
  Column& c = columns_[column];
  if (c.round != round_) {
    return false;  // cannot happen: the values of the owner were unpacked before
  }
  c.unpacked = true;
  c.next = 0;
  c.next_wide = 0;
  switch (c.type->kind) {
    case Kind::u8:
    case Kind::u16:
    case Kind::u32:
    case Kind::u64:
      return unpack_numbers(width_of(c.type->kind), c.count,
                            needs_values(*c.type) ? &c.wide : nullptr);
    case Kind::boolean:
      return unpack_booleans(c.count, needs_values(*c.type) ? &c.small : nullptr);
    case Kind::text: {
      uint64_t sum = 0;
      c.lengths_at = at_;
      if (!unpack_lengths(c, sum) || sum > left() || !budget_->spend(sum) ||
          !base::is_utf8(bytes_.substr(at_, sum))) {
        return false;
      }
      c.text_at = at_;
      at_ += sum;
      return true;
    }
    case Kind::tuple:
      for (size_t i = 0; i < c.type->parts.size(); ++i) {
        expect(c.first_part + i, c.count);
      }
      return true;
    case Kind::sequence: {
      uint64_t sum = 0;
      if (!unpack_lengths(c, sum)) {
        return false;
      }
      expect(c.first_part, sum);
      return true;
    }
    case Kind::option:
    case Kind::choice:
      return unpack_variants(column);
  }
  return false;
}

bool BitcodeReader::unpack_variants(size_t column) {
  Column& c = columns_[column];
  if (!unpack_bytes(c.count, c.small)) {
    return false;
  }
  // The column of a variant's part has one value for each occurrence of the variant.
  const bool is_option = c.type->kind == Kind::option;
  const size_t variants = is_option ? 2 : c.type->parts.size();
  std::array<uint64_t, kMostVariants> counts{};
  for (const uint8_t variant : c.small) {
    if (variant >= variants) {
      return false;
    }
    ++counts.at(variant);
  }
  if (is_option) {
    expect(c.first_part, counts[1]);
    return true;
  }
  for (size_t i = 0; i < variants; ++i) {
    expect(c.first_part + i, counts.at(i));
  }
  return true;
}

bool BitcodeReader::unpack_lengths(Column& column, uint64_t& sum) {
  if (!unpack_bytes(column.count, column.small)) {
    return false;
  }
  const auto long_ones = static_cast<uint64_t>(std::ranges::count(column.small, kLongLength));
  column.wide.clear();
  if (long_ones > 0 && !unpack_numbers(8, long_ones, &column.wide)) {
    return false;
  }
  sum = 0;
  for (const uint8_t length : column.small) {
    sum += length != kLongLength ? length : 0;
  }
  for (const uint64_t length : column.wide) {
    // The counted values cannot be packed more densely than booleans.
    if (length > bytes_.size() * kMostValuesPerByte) {
      return false;
    }
    sum += length;
  }
  return sum <= bytes_.size() * kMostValuesPerByte;
}

uint64_t BitcodeReader::next_length(Column& column) {
  const uint8_t length = column.small[column.next++];
  return length != kLongLength ? length : column.wide[column.next_wide++];
}

bool BitcodeReader::unpack_bytes(uint64_t count, std::vector<uint8_t>& values) {
  values.clear();
  if (!budget_->spend(count)) {
    return false;
  }
  uint64_t selector = 0;
  uint64_t offset = 0;
  if (count > kUnpackedBytes) {
    const std::optional<uint64_t> taken = take(1);
    const std::optional<uint64_t> smallest = taken && *taken % 2 != 0 ? take(1) : 0;
    if (!taken || !smallest) {
      return false;
    }
    selector = *taken;
    offset = *smallest;
  }
  switch ((selector + 1) / 2) {
    case 0:
      return unpack_dense<256, 1>(count, offset, values);
    case 1:
      return unpack_dense<16, 2>(count, offset, values);
    case 2:
      return unpack_dense<6, 3>(count, offset, values);
    case 3:
      return unpack_dense<4, 4>(count, offset, values);
    case 4:
      return unpack_dense<3, 5>(count, offset, values);
    case 5:
      return unpack_dense<2, 8>(count, offset, values);
    default:
      return false;
  }
}

// Each byte holds `per_byte` values that are less than `factor`. The first value is the least
// significant one.
template <unsigned factor, unsigned per_byte>
bool BitcodeReader::unpack_dense(uint64_t count, uint64_t offset, std::vector<uint8_t>& values) {
  const uint64_t bytes = (count + per_byte - 1) / per_byte;
  if (bytes > left()) {
    return false;
  }
  values.resize(count);
  uint64_t next = 0;
  for (const char c : bytes_.substr(at_, bytes)) {
    unsigned rest = static_cast<unsigned char>(c);
    for (unsigned i = 0; i < per_byte && next < count; ++i) {
      values[next++] = static_cast<uint8_t>(rest % factor + offset);
      rest /= factor;
    }
    if (rest != 0) {
      return false;  // an encoder writes zero there
    }
  }
  at_ += bytes;
  return true;
}

bool BitcodeReader::unpack_numbers(size_t width, uint64_t count, std::vector<uint64_t>* values) {
  if (values != nullptr) {
    values->clear();
  }
  if (count == 0) {
    return true;
  }
  size_t packed_width = width;
  uint64_t offset = 0;
  if (width > 1 && !(width == 2 && count == 1)) {
    const std::optional<uint64_t> selector = take(1);
    if (!selector || *selector > 6) {
      return false;
    }
    packed_width = width >> (*selector / 2 + *selector % 2);
    if (*selector % 2 != 0) {
      const std::optional<uint64_t> smallest = take(width);
      if (!smallest) {
        return false;
      }
      offset = *smallest;
    }
  }
  if (packed_width == 0) {
    return false;
  }
  if (packed_width == 1) {
    if (!unpack_bytes(count, scratch_)) {
      return false;
    }
    if (values != nullptr) {
      for (const uint8_t value : scratch_) {
        values->push_back(value + offset);
      }
    }
    return true;
  }
  if (count > left() / packed_width || !budget_->spend(count)) {
    return false;
  }
  if (values == nullptr) {
    return skip(count * packed_width);
  }
  for (uint64_t i = 0; i < count; ++i) {
    values->push_back(take(packed_width).value_or(0) + offset);
  }
  return true;
}

bool BitcodeReader::unpack_booleans(uint64_t count, std::vector<uint8_t>* values) {
  const uint64_t bytes = (count + kMostValuesPerByte - 1) / kMostValuesPerByte;
  const uint64_t in_last = count - (bytes - 1) * kMostValuesPerByte;
  if (values != nullptr) {
    values->clear();
  }
  if (!budget_->spend(values != nullptr ? count : bytes) || !skip(bytes)) {
    return false;
  }
  for (uint64_t i = 0; values != nullptr && i < count; ++i) {
    const auto byte = static_cast<unsigned char>(bytes_[at_ - bytes + i / kMostValuesPerByte]);
    values->push_back((byte >> i % kMostValuesPerByte & 1U) != 0 ? 1 : 0);
  }
  return count == 0 || static_cast<unsigned char>(bytes_[at_ - 1]) >> in_last == 0;
}

std::optional<uint64_t> BitcodeReader::take(size_t width) {
  if (left() < width) {
    return std::nullopt;
  }
  const uint64_t value = base::read_little_endian(bytes_.substr(at_, width));
  at_ += width;
  return value;
}

bool BitcodeReader::skip(uint64_t bytes) {
  if (bytes > left()) {
    return false;
  }
  at_ += bytes;
  return true;
}

}  // namespace meta::vmstate
