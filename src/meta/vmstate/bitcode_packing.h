// SPDX-License-Identifier: Apache-2.0
// Writes columns of small numbers in the packed form of bitcode 0.6.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace meta::vmstate {

// Each function appends the bytes that bitcode's own encoder writes for a column of these values. A
// decoder accepts any packing that the selector names. The encoder's choice is used so that a
// column rewritten with the same values has the same bytes.

// Values of one byte each: lengths up to 254, variants, and wider numbers that fit in a byte.
void pack_bytes(std::vector<uint64_t> values, std::string& bytes);
// Values of `width` bytes each: 1, 2, 4 or 8.
void pack_numbers(std::vector<uint64_t> values, size_t width, std::string& bytes);
// The lengths of strings or sequences: one byte each, then a column of u64 with the lengths that
// are 255 or more.
void pack_lengths(std::span<const uint64_t> lengths, std::string& bytes);

}  // namespace meta::vmstate
