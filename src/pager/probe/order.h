// SPDX-License-Identifier: Apache-2.0
// The order in which the pages of a memory file are touched.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace pager {

// A page number in the memory file. 2^32 pages of 4 KiB are 16 TiB.
using PageNumber = uint32_t;
inline constexpr uint64_t kMaxPages = std::numeric_limits<PageNumber>::max();

struct Pattern {
  enum class Kind { random, sequential, stride, trace };
  Kind kind = Kind::random;
  uint64_t stride = 1;
  std::string trace_path;
};
// "random", "seq", "stride:N" or "trace:FILE". Throws base::UsageError.
Pattern parse_pattern(std::string_view text);

// Returns the first `limit` pages of `pattern` over a file of `page_count` pages (at least 1), each
// once. All patterns but a trace contain every page. A stride is 0, N, 2N, ..., then 1, N + 1, ....
// Throws what reading a trace throws, and base::BadData for a trace of another file or page size.
std::vector<PageNumber> page_order(const Pattern& pattern, uint64_t page_count, uint64_t page_size,
                                   uint64_t limit, uint64_t seed);

}  // namespace pager
