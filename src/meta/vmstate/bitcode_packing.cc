// SPDX-License-Identifier: Apache-2.0
// Chooses the packing of a column as bitcode's encoder does, and writes the column.
#include "meta/vmstate/bitcode_packing.h"

#include <algorithm>
#include <array>

#include "base/little_endian.h"

namespace meta::vmstate {
namespace {

// Packing number `p` stores kPerByte[p] values in one byte, each of them less than kFactors[p].
constexpr std::array<unsigned, 6> kFactors{256, 16, 6, 4, 3, 2};
constexpr std::array<unsigned, 6> kPerByte{1, 2, 3, 4, 5, 8};

// The encoder stores up to kMostUnpacked bytes without a selector, and subtracts no offset from up
// to kMostWithoutOffset values.
constexpr size_t kMostUnpacked = 2;
constexpr size_t kMostWithoutOffset = 5;

constexpr uint64_t kLongLength = 255;

// The densest packing that can store values up to `most`.
unsigned packing_for(uint64_t most) {
  unsigned packing = kFactors.size() - 1;
  while (packing > 0 && most >= kFactors.at(packing)) {
    --packing;
  }
  return packing;
}

// The first value in each byte is the least significant one.
void pack_dense(const std::vector<uint64_t>& values, unsigned packing, std::string& bytes) {
  const size_t per_byte = kPerByte.at(packing);
  for (size_t i = 0; i < values.size(); i += per_byte) {
    uint64_t byte = 0;
    for (size_t k = std::min(values.size(), i + per_byte); k > i; --k) {
      byte = byte * kFactors.at(packing) + values[k - 1];
    }
    bytes += static_cast<char>(byte);
  }
}

void subtract(std::vector<uint64_t>& values, uint64_t offset) {
  for (uint64_t& value : values) {
    value -= offset;
  }
}

// How many times `width` can be halved and still store values up to `most`.
size_t halvings_for(uint64_t most, size_t width) {
  size_t count = 0;
  for (size_t half = width / 2; half > 0 && most < uint64_t{1} << (8 * half); half /= 2) {
    ++count;
  }
  return count;
}

}  // namespace

void pack_bytes(std::vector<uint64_t> values, std::string& bytes) {
  unsigned packing = 0;
  if (values.size() > kMostUnpacked) {
    const auto [low, high] = std::ranges::minmax(values);
    const unsigned shifted = packing_for(high - low);
    packing = packing_for(high);
    const bool has_offset = shifted > packing && values.size() > kMostWithoutOffset;
    packing = has_offset ? shifted : packing;
    bytes += static_cast<char>(2 * packing - (has_offset ? 1 : 0));
    if (has_offset) {
      bytes += static_cast<char>(low);
      subtract(values, low);
    }
  }
  pack_dense(values, packing, bytes);
}

void pack_numbers(std::vector<uint64_t> values, size_t width, std::string& bytes) {
  if (values.empty()) {
    return;
  }
  size_t halvings = 0;
  if (width > 1 && !(width == 2 && values.size() == 1)) {
    const auto [low, high] = std::ranges::minmax(values);
    const size_t shifted = halvings_for(high - low, width);
    halvings = halvings_for(high, width);
    const bool has_offset = shifted > halvings && values.size() > kMostWithoutOffset;
    halvings = has_offset ? shifted : halvings;
    bytes += static_cast<char>(2 * halvings - (has_offset ? 1 : 0));
    if (has_offset) {
      base::append_little_endian(bytes, low, width);
      subtract(values, low);
    }
  }
  if (width >> halvings == 1) {
    pack_bytes(std::move(values), bytes);
    return;
  }
  for (const uint64_t value : values) {
    base::append_little_endian(bytes, value, width >> halvings);
  }
}

void pack_lengths(std::span<const uint64_t> lengths, std::string& bytes) {
  std::vector<uint64_t> bytes_each;
  std::vector<uint64_t> long_ones;
  for (const uint64_t length : lengths) {
    bytes_each.push_back(std::min(length, kLongLength));
    if (length >= kLongLength) {
      long_ones.push_back(length);
    }
  }
  pack_bytes(std::move(bytes_each), bytes);
  pack_numbers(std::move(long_ones), sizeof(uint64_t), bytes);
}

}  // namespace meta::vmstate
