// SPDX-License-Identifier: Apache-2.0
// How bitcode 0.6 packs columns of small numbers, for writing them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace meta {

// Each appends what bitcode's own encoder writes for a column of these values. (Which packing that
// is matters little: a decoder takes any that its selector names. But a column that is written anew
// with the same values then has the same bytes.)

// Values of a byte: lengths up to 254, variants, and wider numbers that fit.
void pack_bytes(std::vector<uint64_t> values, std::string& bytes);
// Values of `width` bytes: 1, 2, 4 or 8.
void pack_numbers(std::vector<uint64_t> values, size_t width, std::string& bytes);
// The lengths of texts or sequences: a byte each, and those from 255 on once more, behind.
void pack_lengths(std::span<const uint64_t> lengths, std::string& bytes);
// Little endian.
void append_number(std::string& bytes, uint64_t number, size_t width);

}  // namespace meta
