// SPDX-License-Identifier: Apache-2.0
// Finds the data of a sparse file.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string_view>

namespace file {

struct Range {
  off_t begin;
  off_t end;  // one past the last byte
};

// Returns the first range with data at or after `from`, cut at `size`; nothing if only a hole
// follows. On a filesystem that does not report holes, the whole file is data. Moves the
// descriptor's position. Throws std::system_error.
std::optional<Range> next_data(int fd, off_t from, off_t size, std::string_view name);

}  // namespace file
