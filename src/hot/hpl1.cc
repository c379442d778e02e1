// SPDX-License-Identifier: Apache-2.0
// Encodes and decodes HPL1; every decoding failure names the byte where it occurred.
#include "hot/hpl1.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace hot {
namespace {

void append_leb128(std::string& out, uint64_t value) {
  constexpr unsigned kMore = 0x80;
  while (value >= kMore) {
    out += static_cast<char>((value & 0x7fU) | kMore);
    value >>= 7U;
  }
  out += static_cast<char>(value);
}

// Reads numbers after the magic. Every failure names the byte position.
class Reader {
 public:
  explicit Reader(std::string_view data) : data_(data) {}

  size_t left() const { return data_.size() - at_; }

  uint64_t leb128(std::string_view what) {
    constexpr unsigned kBits = 64;
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (at_ == data_.size()) {
        fail("the list ends within " + std::string(what));
      }
      const auto byte = static_cast<unsigned char>(data_[at_++]);
      const uint64_t bits = byte & 0x7fU;
      // A number has exactly one encoding: no bits beyond 64, and no zero byte at the end.
      if (shift >= kBits || (bits << shift) >> shift != bits || (byte == 0 && shift > 0)) {
        fail("malformed number for " + std::string(what));
      }
      value |= bits << shift;
      if ((byte & 0x80U) == 0) {
        return value;
      }
    }
  }

  [[noreturn]] void fail(const std::string& why) const {
    throw base::BadData("at byte " + std::to_string(at_) + ": " + why);
  }

 private:
  std::string_view data_;
  size_t at_ = kHpl1Magic.size();
};

}  // namespace

size_t largest_hpl1(uint64_t entries, size_t limit) {
  constexpr size_t kNumber = 10;  // bytes of the largest LEB128 number of 64 bits
  constexpr size_t kEntry = 5 + kNumber;
  return entries > limit / kEntry ? limit
                                  : std::min(limit, kHpl1Magic.size() + kNumber + entries * kEntry);
}

std::string encode_hpl1(std::span<const HotPage> pages) {
  std::string out(kHpl1Magic);
  append_leb128(out, pages.size());
  for (const HotPage& page : pages) {
    append_leb128(out, page.region);
    append_leb128(out, page.offset);
  }
  return out;
}

std::vector<HotPage> read_hpl1(std::string_view data, uint64_t most_entries) {
  Reader reader(data);
  const uint64_t count = reader.leb128("the count");
  constexpr size_t kSmallestEntry = 2;
  if (count > reader.left() / kSmallestEntry) {
    reader.fail("only " + std::to_string(reader.left()) + " bytes follow for " +
                std::to_string(count) + " entries");
  }
  if (count > most_entries) {
    throw base::BadData("the list has " + std::to_string(count) + " entries, but the memory has " +
                        std::to_string(most_entries) + " pages");
  }
  std::vector<HotPage> pages;
  pages.reserve(count);  // checked above: the bytes for them exist
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t region = reader.leb128("a region");
    if (region > std::numeric_limits<uint32_t>::max()) {
      reader.fail("region index out of range: " + std::to_string(region));
    }
    const uint64_t offset = reader.leb128("an offset");
    pages.push_back({.region = static_cast<uint32_t>(region), .offset = offset});
  }
  if (reader.left() != 0) {
    reader.fail(std::to_string(reader.left()) + " bytes follow the last entry");
  }
  return pages;
}

}  // namespace hot
