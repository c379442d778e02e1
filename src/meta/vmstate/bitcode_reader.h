// SPDX-License-Identifier: Apache-2.0
// Reads bitcode 0.6 (serde form), the encoding of Firecracker 1.15 and later: packed columns.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "meta/vmstate/type.h"

namespace meta::vmstate {

// Each position in the type tree is a column: all its values from the whole tree, in order. A
// column stands in the file at the point where a walk of the tree first needs one of its values.
// The columns before it determine how many values it has. The encoding has no tags and no totals,
// so a reader must know the type, and a wrong type soon leads to a misfit. docs/vmstate.md has the
// packing of each kind of column.
class BitcodeReader {
 public:
  // `type` and what it refers to must live as long as the reader.
  explicit BitcodeReader(const Type& type);

  // Works as read_bincode does. Each call starts from scratch.
  std::optional<size_t> read(std::string_view bytes, size_t offset, Budget& budget,
                             std::vector<Field>& found);

 private:
  struct Column {
    const Type* type;
    size_t first_part = 0;         // index of the column of the first part of `type`
    uint32_t round = 0;            // the call of read() that set the members below
    bool unpacked = false;         // the values have been taken from the file
    uint64_t count = 0;            // number of values
    size_t next = 0;               // index of the next value to return
    std::vector<uint8_t> small{};  // bytes, variants, lengths
    std::vector<uint64_t> wide{};  // numbers with a role; lengths of 255 or more
    size_t next_wide = 0;
    size_t lengths_at = 0;  // offset of the lengths of strings
    size_t text_at = 0;     // offset of the next string
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
  bool unpack_booleans(uint64_t count, std::vector<uint8_t>* values);
  static uint64_t next_length(Column& column);
  std::optional<uint64_t> take(size_t width);
  bool skip(uint64_t bytes);
  size_t left() const { return bytes_.size() - at_; }

  std::vector<Column> columns_;
  std::vector<uint8_t> scratch_;
  uint32_t round_ = 0;
  std::string_view bytes_;
  size_t at_ = 0;
  Budget* budget_ = nullptr;
  std::vector<Field>* found_ = nullptr;
};

}  // namespace meta::vmstate
