// SPDX-License-Identifier: Apache-2.0
// Where a sparse file has data.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string_view>

namespace file {

struct Range {
  off_t begin;
  off_t end;  // one past the last byte
};

// The first range with data at or after `from`, cut at `size`; nothing when only a hole follows. A
// filesystem that cannot tell holes has data everywhere. Moves the descriptor's offset. Throws
// std::system_error.
std::optional<Range> next_data(int fd, off_t from, off_t size, std::string_view name);

}  // namespace file
