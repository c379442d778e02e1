// SPDX-License-Identifier: Apache-2.0
// Writes and reads the map of a packed hot list, with all checks.
#include "hot/packed.h"

#include <algorithm>
#include <utility>

#include "base/crc32.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/little_endian.h"

namespace hot {
namespace {

// The fields of the head, one after the other.
constexpr size_t kPieceAt = 4;
constexpr size_t kFileBytesAt = 8;
constexpr size_t kDataAt = 16;
constexpr size_t kInodeAt = 24;
constexpr size_t kModifiedAt = 32;
constexpr size_t kListBytesAt = 40;
constexpr size_t kCrcBytes = 4;

[[noreturn]] void refuse(const std::string& why) {
  throw base::BadData(why);
}

uint64_t aligned(uint64_t bytes) {
  return (bytes + kPackedAlignment - 1) / kPackedAlignment * kPackedAlignment;
}

uint64_t field(std::string_view data, size_t at, size_t width) {
  return base::read_little_endian(data.substr(at, width));
}

std::string prefixed(std::string_view name, const std::string& problem) {
  return "cannot use packed hot list " + base::quoted(name) + ": " + problem;
}

std::string read_bytes(int fd, uint64_t bytes, std::string_view name) {
  std::string data(bytes, '\0');
  data.resize(base::pread_full(fd, std::as_writable_bytes(std::span(data)), 0, name));
  return data;
}

}  // namespace

uint64_t PackedMap::piece_bytes(uint64_t index) const {
  const uint64_t first = index * piece_pages;
  return std::min<uint64_t>(piece_pages, pages - first) * list.page_size;
}

int64_t modified_ns(const struct stat& file) {
  constexpr int64_t kSecond = 1'000'000'000;
  return static_cast<int64_t>(file.st_mtim.tv_sec) * kSecond + file.st_mtim.tv_nsec;
}

bool is_packed_from(const PackedMap& map, const struct stat& memory) {
  return memory.st_ino == map.inode && modified_ns(memory) == map.modified_ns &&
         static_cast<uint64_t>(memory.st_size) == map.list.memory_bytes;
}

uint32_t usual_piece_pages(uint64_t page_size) {
  return static_cast<uint32_t>(std::max<uint64_t>(1, kPackedPieceBytes / page_size));
}

uint64_t packed_pieces(uint64_t pages, uint32_t piece_pages) {
  return pages / piece_pages + (pages % piece_pages == 0 ? 0 : 1);
}

std::string encode_packed_map(const PackedMap& map) {
  const std::string list = encode_hot_list(map.list, ListFormat::hpl2);
  const uint64_t bytes =
      kPackedHeadBytes + list.size() + map.checksums.size() * sizeof(uint32_t) + kCrcBytes;
  const uint64_t data_at = aligned(bytes);
  std::string out(kPackedMagic);
  const auto put = [&](uint64_t number, size_t width) {
    base::append_little_endian(out, number, width);
  };
  put(map.piece_pages, sizeof(uint32_t));
  put(data_at + count_pages(map.list.runs) * map.list.page_size, sizeof(uint64_t));
  put(data_at, sizeof(uint64_t));
  put(map.inode, sizeof(uint64_t));
  put(static_cast<uint64_t>(map.modified_ns), sizeof(uint64_t));
  put(list.size(), sizeof(uint64_t));
  out += list;
  for (const uint32_t checksum : map.checksums) {
    put(checksum, sizeof(uint32_t));
  }
  put(base::crc32(out), kCrcBytes);
  out.resize(data_at, '\0');
  return out;
}

uint64_t packed_map_bytes(std::string_view head, uint64_t file_bytes) {
  if (!head.starts_with(kPackedMagic)) {
    refuse("the file starts with " + base::quoted(head.substr(0, kPackedMagic.size())) +
           ", not with " + std::string(kPackedMagic));
  }
  if (head.size() < kPackedHeadBytes) {
    refuse("the file is truncated: it has " + std::to_string(file_bytes) + " bytes");
  }
  const uint64_t size = field(head, kFileBytesAt, sizeof(uint64_t));
  if (size != file_bytes) {
    refuse((size > file_bytes ? "the file is truncated: it has "
                              : "bytes follow the pages: the file has ") +
           std::to_string(file_bytes) + " bytes instead of " + std::to_string(size));
  }
  const uint64_t data_at = field(head, kDataAt, sizeof(uint64_t));
  if (data_at < kPackedHeadBytes + kCrcBytes || data_at > file_bytes ||
      data_at % kPackedAlignment != 0) {
    refuse("the pages cannot begin at byte " + std::to_string(data_at));
  }
  if (data_at > kMaxHotListBytes) {
    refuse("the map has " + std::to_string(data_at) + " bytes, more than " +
           std::to_string(kMaxHotListBytes));
  }
  return data_at;
}

PackedMap parse_packed_map(std::string_view map, uint64_t file_bytes, uint64_t most_entries) {
  const uint64_t data_at = packed_map_bytes(map.substr(0, kPackedHeadBytes), file_bytes);
  if (map.size() != data_at) {
    refuse("the map is truncated");
  }
  const uint64_t list_bytes = field(map, kListBytesAt, sizeof(uint64_t));
  if (list_bytes > data_at - kPackedHeadBytes - kCrcBytes) {
    refuse("a list of " + std::to_string(list_bytes) + " bytes does not fit into the map");
  }
  const std::string_view list = map.substr(kPackedHeadBytes, list_bytes);
  Decoded decoded = try_decode_hot_list(list, most_entries);
  if (!decoded.problem.empty()) {
    refuse("its list: " + decoded.problem);
  }
  if (decoded.list.format != ListFormat::hpl2) {
    refuse("its list is not HPL2");
  }
  PackedMap found{.list = std::move(decoded.list),
                  .inode = field(map, kInodeAt, sizeof(uint64_t)),
                  .modified_ns = static_cast<int64_t>(field(map, kModifiedAt, sizeof(uint64_t))),
                  .piece_pages = static_cast<uint32_t>(field(map, kPieceAt, sizeof(uint32_t))),
                  .data_at = data_at};
  found.pages = count_pages(found.list.runs);
  const uint64_t page_size = found.list.page_size;
  if (found.piece_pages == 0 || found.piece_pages > kMostPackedPieceBytes / page_size) {
    refuse("a piece cannot have " + std::to_string(found.piece_pages) + " pages");
  }
  const uint64_t pages = found.pages;
  const uint64_t pieces = packed_pieces(pages, found.piece_pages);
  const uint64_t used = kPackedHeadBytes + list_bytes + pieces * sizeof(uint32_t) + kCrcBytes;
  if (aligned(used) != data_at || (file_bytes - data_at) % page_size != 0 ||
      (file_bytes - data_at) / page_size != pages) {
    refuse("its lengths do not fit its list of " + std::to_string(pages) + " pages");
  }
  const std::string_view body = map.substr(0, used - kCrcBytes);
  if (base::crc32(body) != field(map, body.size(), kCrcBytes)) {
    refuse("the checksum is wrong: the map was changed after it was written");
  }
  if (map.find_first_not_of('\0', used) != std::string_view::npos) {
    refuse("bytes follow the map");
  }
  found.checksums.reserve(pieces);
  for (uint64_t i = 0; i < pieces; ++i) {
    found.checksums.push_back(static_cast<uint32_t>(
        field(map, kPackedHeadBytes + list_bytes + i * sizeof(uint32_t), sizeof(uint32_t))));
  }
  return found;
}

bool is_packed(int fd, std::string_view name) {
  return read_bytes(fd, kPackedMagic.size(), name) == kPackedMagic;
}

PackedMap read_packed_map(int fd, std::string_view name, uint64_t most_entries) {
  const auto file_bytes = static_cast<uint64_t>(base::stat_fd(fd, name).st_size);
  try {
    const uint64_t bytes = packed_map_bytes(read_bytes(fd, kPackedHeadBytes, name), file_bytes);
    return parse_packed_map(read_bytes(fd, bytes, name), file_bytes, most_entries);
  } catch (const base::BadData& error) {
    throw base::BadData(prefixed(name, error.what()));
  }
}

std::string piece_problem(const PackedMap& map, uint64_t index,
                          std::span<const std::byte> contents) {
  const std::string_view bytes(reinterpret_cast<const char*>(contents.data()), contents.size());
  return base::crc32(bytes) == map.checksums[index]
             ? ""
             : "piece " + std::to_string(index) +
                   " has a wrong checksum: it was changed after it was "
                   "written";
}

}  // namespace hot
