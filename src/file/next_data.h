// SPDX-License-Identifier: Apache-2.0
// Finds the data of a sparse file. Every program of the suite that skips holes uses this.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "file/byte_range.h"

namespace file {

// Returns the first range with data at or after `from`, cut at `size`; nothing if only a hole
// follows. On a filesystem that does not report holes, the whole file is data. Moves the
// descriptor's position. Throws std::system_error.
std::optional<ByteRange> next_data(int fd, off_t from, off_t size, std::string_view name);

// Returns all ranges with data, in order. No two of them touch. If there are more than `most`, the
// last one extends to `size`: data that is a hole is correct, and only slower. Throws as next_data
// does.
std::vector<ByteRange> list_data(int fd, off_t size, std::string_view name,
                                 size_t most = std::numeric_limits<size_t>::max());

}  // namespace file
