// Where a sparse file has data.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace cloning {

struct Range {
  off_t begin;
  off_t end;  // one past the last byte
};

// The first range with data at or after `from`, cut at `size`; nothing when only a hole follows. A
// filesystem that cannot tell holes has data everywhere. Moves the descriptor's offset. Throws
// std::system_error.
std::optional<Range> next_data(int fd, off_t from, off_t size, std::string_view name);

// All data of the file in pieces of at most `longest` bytes, in order. A piece crosses no multiple
// of `longest`.
inline constexpr off_t kPiece = 1 << 20;
std::vector<Range> data_pieces(int fd, off_t size, std::string_view name, off_t longest = kPiece);

// Throws Refused when the file is shorter than `size`: an end that was cut off looks like a hole.
void require_length(int fd, off_t size, std::string_view name);

// Reads pieces of at most kPiece bytes with up to `jobs` threads and calls use(offset, data) for
// each, from any of them and in any order. Throws Refused when the file has got shorter than `size`
// meanwhile, std::system_error, and what `use` throws.
using UsePiece = std::function<void(off_t, std::span<const std::byte>)>;
void read_pieces(int fd, std::span<const Range> pieces, off_t size, int jobs, std::string_view name,
                 const UsePiece& use);

}  // namespace cloning
