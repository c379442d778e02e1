// SPDX-License-Identifier: Apache-2.0
// The data of a memory file. Everything else is a hole, which reads as zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "file/byte_range.h"

namespace pager {

// The ranges of a file that have data, in order, never adjacent to each other (file::list_data).
// They are read once, so the file must not change afterward.
class DataMap {
 public:
  explicit DataMap(std::vector<file::ByteRange> ranges) : ranges_(std::move(ranges)) {}
  // Moves the descriptor's file position. Throws std::system_error.
  static DataMap read(int fd, uint64_t size, std::string_view name);

  // Returns whether any byte of [start, end) is data.
  bool has_data(uint64_t start, uint64_t end) const;
  // The data bytes in [start, end).
  uint64_t data_bytes(uint64_t start, uint64_t end) const;
  // Calls use(from, to) for each maximal part of [start, end) without data, in order.
  void for_each_hole(uint64_t start, uint64_t end,
                     const std::function<void(uint64_t from, uint64_t to)>& use) const;
  const std::vector<file::ByteRange>& ranges() const { return ranges_; }

 private:
  std::vector<file::ByteRange> ranges_;
};

// Beyond this number of ranges (16 MiB of them) the rest of a file counts as data. That is correct
// and only slower.
inline constexpr size_t kMaxDataRanges = size_t{1} << 20U;

}  // namespace pager
