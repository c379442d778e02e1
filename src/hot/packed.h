// SPDX-License-Identifier: Apache-2.0
// The packed format of a hot list: a list, and the contents of its pages in the same order
// (docs/packed-list.md).
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hot/hot_list.h"

namespace hot {

inline constexpr std::string_view kPackedMagic = "HPW1";
inline constexpr size_t kPackedHeadBytes = 48;
// The pages begin at a multiple of this, so that they can be read with O_DIRECT.
inline constexpr uint64_t kPackedAlignment = 4096;
// Bounds of a piece, the unit that has a checksum. A writer makes pieces of kPackedPieceBytes, or
// of one page.
inline constexpr uint64_t kPackedPieceBytes = uint64_t{1} << 20U;
inline constexpr uint64_t kMostPackedPieceBytes = uint64_t{4} << 20U;

// What stands before the pages.
struct PackedMap {
  HotList list{};  // HPL2
  // Of the memory file when it was packed. A file with the same number, time and size has the same
  // contents.
  uint64_t inode = 0;
  int64_t modified_ns = 0;
  uint32_t piece_pages = 1;
  std::vector<uint32_t> checksums{};  // of the pieces
  uint64_t pages = 0;                 // of the list
  uint64_t data_at = 0;               // where they begin in the file

  // The place of a piece in the file, and its length. The last piece may be shorter.
  uint64_t piece_at(uint64_t index) const { return data_at + index * piece_pages * list.page_size; }
  uint64_t piece_bytes(uint64_t index) const;
};

// Whether a file is the memory file of the map, and was not written to since.
bool is_packed_from(const PackedMap& map, const struct stat& memory);
// The modification time of a file.
int64_t modified_ns(const struct stat& file);

// The largest piece_pages of a writer.
uint32_t usual_piece_pages(uint64_t page_size);
uint64_t packed_pieces(uint64_t pages, uint32_t piece_pages);

// Writes the map, up to the first page; map.pages and map.data_at are not used. The number of bytes
// depends on the list and on the number of checksums alone. Throws base::BadData as encode_hot_list
// does.
std::string encode_packed_map(const PackedMap& map);

// Returns the length of the map from the first kPackedHeadBytes of a file of `file_bytes`. Throws
// base::BadData with the problem.
uint64_t packed_map_bytes(std::string_view head, uint64_t file_bytes);
// Reads a whole map. Every byte of it is checked. Throws base::BadData with the problem.
PackedMap parse_packed_map(std::string_view map, uint64_t file_bytes, uint64_t most_entries);

// Whether an open regular file starts with kPackedMagic. Throws std::system_error.
bool is_packed(int fd, std::string_view name);
// Reads the map of a file. Throws std::system_error, and base::BadData "cannot use packed hot list
// 'NAME': PROBLEM".
PackedMap read_packed_map(int fd, std::string_view name, uint64_t most_entries);
// Why a piece is damaged: empty if it has its checksum.
std::string piece_problem(const PackedMap& map, uint64_t index,
                          std::span<const std::byte> contents);

}  // namespace hot
