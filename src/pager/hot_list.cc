#include "pager/hot_list.h"

#include <limits>

#include "base/error.h"

namespace pager {
namespace {

constexpr std::string_view kMagic = "HPL1";

void append_leb128(std::string& out, uint64_t value) {
  constexpr unsigned kMore = 0x80;
  while (value >= kMore) {
    out += static_cast<char>((value & 0x7fU) | kMore);
    value >>= 7U;
  }
  out += static_cast<char>(value);
}

// Reads a list from behind its magic; every failure names the list and the place.
class Reader {
 public:
  Reader(std::string_view data, std::string_view name) : data_(data), name_(name) {}

  size_t left() const { return data_.size() - at_; }

  uint64_t leb128(std::string_view what) {
    constexpr unsigned kBits = 64;
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      if (at_ == data_.size()) {
        fail("it ends within " + std::string(what));
      }
      const auto byte = static_cast<unsigned char>(data_[at_++]);
      const uint64_t bits = byte & 0x7fU;
      // One number has one spelling: no bits beyond 64, no zero byte at the end.
      if (shift >= kBits || (bits << shift) >> shift != bits || (byte == 0 && shift > 0)) {
        fail("bad number for " + std::string(what));
      }
      value |= bits << shift;
      if ((byte & 0x80U) == 0) {
        return value;
      }
    }
  }

  [[noreturn]] void fail(const std::string& why) const {
    throw base::BadData("cannot use hot list " + base::quoted(name_) + ": at byte " +
                        std::to_string(at_) + ": " + why);
  }

 private:
  std::string_view data_;
  std::string_view name_;
  size_t at_ = kMagic.size();
};

}  // namespace

std::string encode_hpl1(std::span<const HotPage> pages) {
  std::string out(kMagic);
  append_leb128(out, pages.size());
  for (const HotPage& page : pages) {
    append_leb128(out, page.region);
    append_leb128(out, page.offset);
  }
  return out;
}

std::vector<HotPage> decode_hpl1(std::string_view data, std::string_view name) {
  if (!data.starts_with(kMagic)) {
    throw base::BadData("cannot use hot list " + base::quoted(name) +
                        ": it does not start with HPL1");
  }
  Reader reader(data, name);
  const uint64_t count = reader.leb128("the count");
  constexpr size_t kSmallestEntry = 2;
  if (count > reader.left() / kSmallestEntry) {
    reader.fail("only " + std::to_string(reader.left()) + " bytes follow for " +
                std::to_string(count) + " entries");
  }
  std::vector<HotPage> pages;
  pages.reserve(count);  // the bytes for them are there
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t region = reader.leb128("a region");
    if (region > std::numeric_limits<uint32_t>::max()) {
      reader.fail("there is no region " + std::to_string(region));
    }
    const uint64_t offset = reader.leb128("an offset");
    pages.push_back({.region = static_cast<uint32_t>(region), .offset = offset});
  }
  if (reader.left() != 0) {
    reader.fail(std::to_string(reader.left()) + " bytes follow its last entry");
  }
  return pages;
}

void check_hot_list(std::span<const HotPage> pages, std::span<const Region> regions,
                    std::string_view name) {
  for (size_t i = 0; i < pages.size(); ++i) {
    const HotPage& page = pages[i];
    std::string why;
    if (page.region >= regions.size()) {
      why = "there are " + std::to_string(regions.size()) + " regions";
    } else if (page.offset >= regions[page.region].size) {
      why = "that region has " + std::to_string(regions[page.region].size) + " bytes";
    } else if (page.offset % regions[page.region].page_size != 0) {
      why = "no multiple of the page size " + std::to_string(regions[page.region].page_size);
    } else {
      continue;
    }
    throw base::BadData("cannot use hot list " + base::quoted(name) + ": entry " +
                        std::to_string(i) + " is region " + std::to_string(page.region) +
                        ", offset " + std::to_string(page.offset) + ": " + why +
                        "; it was recorded from another image");
  }
}

}  // namespace pager
