// Where a sparse file has data, how many extents it is made of, and which of its blocks are zero.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace cloning {

struct Range {
  off_t begin;
  off_t end;  // one past the last byte
};

// The first range with data at or after `from`, cut at `size`; nothing when only a hole follows. A
// filesystem that cannot tell holes has data everywhere. Moves the descriptor's offset. Throws
// std::system_error.
std::optional<Range> next_data(int fd, off_t from, off_t size, std::string_view name);

struct ExtentSurvey {
  int64_t extents = 0;
  int64_t data_bytes = 0;  // without preallocated blocks and without what lies past `size`
};
enum class Flush { no, yes };
// What FIEMAP says of the file; nothing where the filesystem does not answer it (tmpfs). Dirty data
// that has no blocks yet counts as one extent a piece; Flush::yes writes it out first, so that the
// number is exact. Costs about 0.1 us an extent. Throws std::system_error.
std::optional<ExtentSurvey> survey_extents(int fd, off_t size, Flush flush, std::string_view name);

// The unit in which holes are made: the page size of guest memory and the usual filesystem block.
inline constexpr size_t kHoleBlock = 4096;

struct BlockRun {
  size_t length;
  bool zero;
};
// How many blocks at the start of `data` (not empty) are alike, all zero or all not. The last block
// may be a partial one. `data` starts on a block boundary.
BlockRun first_run(std::span<const std::byte> data);

}  // namespace cloning
