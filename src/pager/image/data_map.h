// SPDX-License-Identifier: Apache-2.0
// The data extents of a memory file. Everything else is a hole, which reads as zeros.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace pager {

// A half-open range of bytes in the file.
struct Extent {
  uint64_t start = 0;
  uint64_t end = 0;
  bool operator==(const Extent&) const = default;
};

// The data extents of a file, in order, never adjacent to each other. They are read once, with
// SEEK_DATA and SEEK_HOLE, so the file must not change afterward. On a filesystem without holes the
// file is one extent.
class DataMap {
 public:
  explicit DataMap(std::vector<Extent> extents) : extents_(std::move(extents)) {}
  // Moves the descriptor's file position. Throws std::system_error "cannot find the holes of
  // 'name'".
  static DataMap read(int fd, uint64_t size, std::string_view name);

  // Returns whether any byte of [start, end) is data.
  bool has_data(uint64_t start, uint64_t end) const;
  uint64_t data_bytes() const;
  // The data bytes in [start, end).
  uint64_t data_bytes(uint64_t start, uint64_t end) const;
  const std::vector<Extent>& extents() const { return extents_; }

 private:
  std::vector<Extent> extents_;
};

// Beyond this number of extents (16 MiB of them) the rest of a file counts as data. That is correct
// and only slower.
inline constexpr size_t kMaxExtents = size_t{1} << 20U;

}  // namespace pager
