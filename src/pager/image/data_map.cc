// SPDX-License-Identifier: Apache-2.0
// Answers which parts of a memory file are data.
#include "pager/image/data_map.h"

#include <algorithm>

#include "file/next_data.h"

namespace pager {

DataMap DataMap::read(int fd, uint64_t size, std::string_view name) {
  return DataMap(file::list_data(fd, static_cast<off_t>(size), name, kMaxDataRanges));
}

bool DataMap::has_data(uint64_t start, uint64_t end) const {
  const auto next =
      std::ranges::upper_bound(ranges_, static_cast<off_t>(start), {}, &file::ByteRange::end);
  return next != ranges_.end() && next->begin < static_cast<off_t>(end);
}

uint64_t DataMap::data_bytes(uint64_t start, uint64_t end) const {
  const auto from = static_cast<off_t>(start);
  const auto to = static_cast<off_t>(end);
  off_t bytes = 0;
  for (auto next = std::ranges::upper_bound(ranges_, from, {}, &file::ByteRange::end);
       next != ranges_.end() && next->begin < to; ++next) {
    bytes += std::min(next->end, to) - std::max(next->begin, from);
  }
  return static_cast<uint64_t>(bytes);
}

void DataMap::for_each_hole(uint64_t start, uint64_t end,
                            const std::function<void(uint64_t, uint64_t)>& use) const {
  const auto to = static_cast<off_t>(end);
  auto at = static_cast<off_t>(start);
  for (auto next = std::ranges::upper_bound(ranges_, at, {}, &file::ByteRange::end);
       next != ranges_.end() && next->begin < to; ++next) {
    if (next->begin > at) {
      use(static_cast<uint64_t>(at), static_cast<uint64_t>(next->begin));
    }
    at = next->end;
  }
  if (at < to) {
    use(static_cast<uint64_t>(at), end);
  }
}

}  // namespace pager
