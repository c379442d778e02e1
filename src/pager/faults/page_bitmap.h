// SPDX-License-Identifier: Apache-2.0
// A bitmap of pages, over memory that the caller owns.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace pager {

// A view: a copy shares the bits. The caller keeps all indexes within the bitmap.
class PageBitmap {
 public:
  static constexpr uint64_t kBits = 64;
  static constexpr size_t words_for(uint64_t pages) {
    return static_cast<size_t>((pages + kBits - 1) / kBits);
  }

  explicit PageBitmap(std::span<uint64_t> words) : words_(words) {}

  bool test(uint64_t index) const { return ((words_[index / kBits] >> (index % kBits)) & 1U) != 0; }
  // The number of set bits in [first, first + count).
  uint64_t count(uint64_t first, uint64_t count) const {
    uint64_t set = 0;
    while (count > 0) {
      const uint64_t bit = first % kBits;
      const uint64_t here = count < kBits - bit ? count : kBits - bit;
      set += static_cast<uint64_t>(std::popcount(words_[first / kBits] & mask_of(bit, here)));
      first += here;
      count -= here;
    }
    return set;
  }
  // The first set bit at or after `index`.
  std::optional<uint64_t> find(uint64_t index) const {
    for (uint64_t at = index / kBits; at < words_.size(); ++at) {
      const uint64_t word =
          at == index / kBits ? words_[at] >> (index % kBits) << (index % kBits) : words_[at];
      if (word != 0) {
        return at * kBits + static_cast<uint64_t>(std::countr_zero(word));
      }
    }
    return std::nullopt;
  }
  // Return the number of bits that changed.
  uint64_t set(uint64_t first, uint64_t count) {
    return change(first, count, [](uint64_t word, uint64_t mask) { return word | mask; });
  }
  uint64_t clear(uint64_t first, uint64_t count) {
    return change(first, count, [](uint64_t word, uint64_t mask) { return word & ~mask; });
  }

 private:
  static uint64_t mask_of(uint64_t bit, uint64_t count) {
    return (count == kBits ? ~uint64_t{0} : (uint64_t{1} << count) - 1) << bit;
  }

  template <typename Change>
  uint64_t change(uint64_t first, uint64_t count, Change apply) {
    uint64_t changed = 0;
    while (count > 0) {
      const uint64_t bit = first % kBits;
      const uint64_t here = count < kBits - bit ? count : kBits - bit;
      uint64_t& word = words_[first / kBits];
      const uint64_t next = apply(word, mask_of(bit, here));
      changed += static_cast<uint64_t>(std::popcount(word ^ next));
      if (next != word) {
        word = next;  // does not allocate untouched pages of a large bitmap
      }
      first += here;
      count -= here;
    }
    return changed;
  }

  std::span<uint64_t> words_;
};

}  // namespace pager
