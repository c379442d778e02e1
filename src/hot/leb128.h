// SPDX-License-Identifier: Apache-2.0
// Unsigned LEB128, the numbers of both list formats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace hot {

inline void append_leb128(std::string& out, uint64_t value) {
  constexpr unsigned kMore = 0x80;
  while (value >= kMore) {
    out += static_cast<char>((value & 0x7fU) | kMore);
    value >>= 7U;
  }
  out += static_cast<char>(value);
}

// Reads numbers and bytes from a position of a file. Every failure is base::BadData that names the
// position.
class LebReader {
 public:
  LebReader(std::string_view data, size_t at) : data_(data), at_(at) {}

  size_t left() const { return data_.size() - at_; }
  size_t position() const { return at_; }

  // A number has exactly one encoding: at most 64 bits, and no zero byte at the end.
  uint64_t number(std::string_view what) {
    constexpr unsigned kMore = 0x80;
    constexpr size_t kShort = 3;
    // Most numbers are short. The loop has all checks, also for a zero byte at the end.
    if (left() >= kShort) {
      const auto byte = [&](size_t i) { return static_cast<unsigned char>(data_[at_ + i]); };
      const unsigned first = byte(0);
      const unsigned second = byte(1);
      const unsigned third = byte(2);
      if (first < kMore) {
        at_ += 1;
        return first;
      }
      if (second < kMore && second != 0) {
        at_ += 2;
        return (first & 0x7fU) | second << 7U;
      }
      if (second >= kMore && third < kMore && third != 0) {
        at_ += 3;
        return (first & 0x7fU) | (second & 0x7fU) << 7U | third << 14U;
      }
    }
    return long_number(what);
  }
  // The next `size` bytes.
  std::string_view bytes(uint64_t size, std::string_view what) {
    if (size > left()) {
      fail("the list ends within " + std::string(what));
    }
    const std::string_view found = data_.substr(at_, size);
    at_ += size;
    return found;
  }

  [[noreturn]] void fail(const std::string& why) const {
    throw base::BadData("at byte " + std::to_string(at_) + ": " + why);
  }

 private:
  uint64_t long_number(std::string_view what) {
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (at_ == data_.size()) {
        fail("the list ends within " + std::string(what));
      }
      const auto byte = static_cast<unsigned char>(data_[at_++]);
      const uint64_t bits = byte & 0x7fU;
      constexpr unsigned kBits = 64;
      if (shift >= kBits || (bits << shift) >> shift != bits || (byte == 0 && shift > 0)) {
        fail("malformed number for " + std::string(what));
      }
      value |= bits << shift;
      if ((byte & 0x80U) == 0) {
        return value;
      }
    }
  }

  std::string_view data_;
  size_t at_;
};

}  // namespace hot
