// SPDX-License-Identifier: Apache-2.0
// Reads the data of a sparse file in pieces.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "file/next_data.h"

namespace file {

// Returns the first range at or after its argument; nothing at the end.
using NextRange = std::function<std::optional<ByteRange>(off_t from)>;
NextRange data_of(int fd, off_t size, std::string_view name);

// Returns the ranges from `from` on, in order, cut into pieces of at most `longest` bytes. It
// returns at most `most` pieces, so that a file of many terabytes needs little memory. A piece does
// not cross a multiple of `longest`.
inline constexpr off_t kPiece = 1 << 20;
inline constexpr size_t kMostPieces = 1 << 16;
std::vector<ByteRange> pieces_of(const NextRange& next, off_t from, off_t longest,
                                 size_t most = kMostPieces);

// Throws Refused if the file is shorter than `size`, because a truncated end looks like a hole.
void require_length(int fd, off_t size, std::string_view name);

// Reads the ranges of `next` in pieces of at most `longest` bytes with up to `jobs` threads, and
// calls use(offset, data) for each piece, from any thread and in any order. Throws Refused if the
// file has become shorter than `size`; std::system_error; and what `use` throws.
using UsePiece = std::function<void(off_t, std::span<const std::byte>)>;
void read_pieces(int fd, const NextRange& next, off_t size, int jobs, std::string_view name,
                 const UsePiece& use, off_t longest = kPiece);

}  // namespace file
