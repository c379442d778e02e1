// SPDX-License-Identifier: Apache-2.0
// Reads the data extents of a file with SEEK_DATA and SEEK_HOLE.
#include "pager/image/data_map.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <string>

#include "base/error.h"

namespace pager {
namespace {

// lseek(2), but returns the end of the file if no further data or hole exists.
uint64_t seek(int fd, uint64_t from, int whence, uint64_t size, std::string_view name) {
  const off_t at = ::lseek(fd, static_cast<off_t>(from), whence);
  if (at >= 0) {
    return std::min(static_cast<uint64_t>(at), size);
  }
  if (errno == ENXIO) {
    return size;
  }
  if (errno == EINVAL) {
    return whence == SEEK_DATA ? from : size;  // this filesystem does not report holes
  }
  base::throw_errno("cannot find the holes of " + base::quoted(name));
}

}  // namespace

DataMap DataMap::read(int fd, uint64_t size, std::string_view name) {
  std::vector<Extent> extents;
  uint64_t at = 0;
  while (at < size) {
    const uint64_t start = seek(fd, at, SEEK_DATA, size, name);
    if (start >= size) {
      break;
    }
    const bool last = extents.size() + 1 == kMaxExtents;
    const uint64_t end = last ? size : seek(fd, start, SEEK_HOLE, size, name);
    if (!extents.empty() && extents.back().end == start) {
      extents.back().end = end;
    } else {
      extents.push_back({.start = start, .end = end});
    }
    at = std::max(end, start + 1);
  }
  return DataMap(std::move(extents));
}

bool DataMap::has_data(uint64_t start, uint64_t end) const {
  const auto next = std::ranges::upper_bound(extents_, start, {}, &Extent::end);
  return next != extents_.end() && next->start < end;
}

uint64_t DataMap::data_bytes(uint64_t start, uint64_t end) const {
  uint64_t bytes = 0;
  for (auto next = std::ranges::upper_bound(extents_, start, {}, &Extent::end);
       next != extents_.end() && next->start < end; ++next) {
    bytes += std::min(next->end, end) - std::max(next->start, start);
  }
  return bytes;
}

uint64_t DataMap::data_bytes() const {
  return std::accumulate(extents_.begin(), extents_.end(), uint64_t{0},
                         [](uint64_t sum, const Extent& e) { return sum + (e.end - e.start); });
}

}  // namespace pager
