// SPDX-License-Identifier: Apache-2.0
// Reads bitcode 0.6 (its serde form) as Firecracker 1.15 and later write it: packed columns.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "meta/vmstate/type.h"

namespace meta {

// Each place of a type is a column: all its values from the whole tree, one after the other. A
// column stands in the file where a reader that goes through the tree first needs a value of it,
// and there the number of its values is known from the columns before. There are no tags and no
// totals, so one must know the type, and goes wrong quickly where the type is another.
//
// Bytes (u8, lengths, variants), from three on: a selector, 2 * packing less 1 with an offset, then
// the offset (a byte) if any, then 1, 2, 3, 4, 5 or 8 values a byte: packing 0 to 5. Booleans: 8 a
// byte. Wider numbers, but for a single u16: a selector, 2 * halvings of the width less 1 with an
// offset, the offset in full width, the values; values of width 1 are packed as bytes again. Texts
// and sequences: a byte for each length, 255 for a length that stands in a column of u64 behind.
class BitcodeReader {
 public:
  // `type` and what it refers to must live as long as the reader.
  explicit BitcodeReader(const Type& type);

  // As read_bincode. May be called again; nothing of the reading before is kept.
  std::optional<size_t> read(std::string_view bytes, size_t offset, Effort& effort,
                             std::vector<Found>& found);

 private:
  struct Column {
    const Type* type;
    size_t first_part = 0;         // index of the column of its first part
    uint32_t round = 0;            // the reading in which the rest was set
    bool unpacked = false;         // its values have been taken from the file
    uint64_t count = 0;            // values in all
    size_t next = 0;               // the next one to hand out
    std::vector<uint8_t> small{};  // bytes, variants, lengths
    std::vector<uint64_t> wide{};  // numbers that matter; lengths from 255 on
    size_t next_wide = 0;
    size_t lengths_at = 0;  // offset of the lengths of texts
    size_t text_at = 0;     // offset of the next text
  };

  void add_parts(size_t column);
  void expect(size_t column, uint64_t count);
  bool read_value(size_t column);
  bool unpack(size_t column);
  bool unpack_variants(size_t column);
  bool unpack_lengths(Column& column, uint64_t& sum);
  bool unpack_bytes(uint64_t count, std::vector<uint8_t>& values);
  template <unsigned factor, unsigned per_byte>
  bool unpack_dense(uint64_t count, uint64_t offset, std::vector<uint8_t>& values);
  bool unpack_numbers(size_t width, uint64_t count, std::vector<uint64_t>* values);
  bool unpack_booleans(uint64_t count);
  static uint64_t next_length(Column& column);
  std::optional<uint64_t> take(size_t width);
  bool skip(uint64_t bytes);
  size_t left() const { return bytes_.size() - at_; }

  std::vector<Column> columns_;
  std::vector<uint8_t> scratch_;
  uint32_t round_ = 0;
  std::string_view bytes_;
  size_t at_ = 0;
  Effort* effort_ = nullptr;
  std::vector<Found>* found_ = nullptr;
};

}  // namespace meta
