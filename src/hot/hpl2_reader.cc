// SPDX-License-Identifier: Apache-2.0
// Decodes HPL2. The length and the checksum are compared first, so that later failures are those of
// the writer.
#include "hot/hpl2_reader.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "base/crc32.h"
#include "base/little_endian.h"
#include "hot/hpl2_rules.h"
#include "hot/leb128.h"
#include "hot/region.h"

namespace hot {
namespace {

using Section = Hpl2Section;

constexpr size_t kHeadBytes = kHpl2Magic.size() + kHpl2SizeBytes;

// The inverse of zigzag in hpl2_writer.cc.
int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1U) ^ -static_cast<int64_t>(value & 1U);
}

std::string text_of(LebReader& in, std::string_view what) {
  const uint64_t size = in.number(what);
  return std::string(in.bytes(size, what));
}

uint32_t number32(LebReader& in, std::string_view what) {
  const uint64_t value = in.number(what);
  if (value > std::numeric_limits<uint32_t>::max()) {
    in.fail(std::string(what) + " has more than 32 bits");
  }
  return static_cast<uint32_t>(value);
}

// A count of things that need at least `each` bytes.
uint64_t count_of(LebReader& in, size_t each, std::string_view what) {
  const uint64_t count = in.number(what);
  if (count > in.left() / each) {
    in.fail("only " + std::to_string(in.left()) + " bytes follow for " + std::to_string(count) +
            " of " + std::string(what));
  }
  return count;
}

void read_image(LebReader& in, HotList& list) {
  list.page_size = in.number("the page size");
  list.memory_bytes = in.number("the size of the memory");
  const uint64_t count = count_of(in, 2, "the regions");
  if (count > kMaxRegions) {
    in.fail("more than " + std::to_string(kMaxRegions) + " regions");
  }
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t offset = in.number("a region");
    const uint64_t size = in.number("a region");
    list.regions.push_back(
        {.base = 0, .size = size, .offset = offset, .page_size = list.page_size});
  }
  list.digest = text_of(in, "the digest");
  check_hpl2_text(list.digest, "the digest");
  check_hpl2_layout(list);
}

// Reads the counts of the runs. Returns how many pages they have.
uint64_t read_counts(LebReader& in, HotList& list, uint64_t most_entries) {
  const uint64_t run_count = in.number("the runs");
  const uint64_t groups = count_of(in, 2, "the groups of runs");
  if (run_count > in.left()) {
    in.fail("only " + std::to_string(in.left()) + " bytes follow for " + std::to_string(run_count) +
            " runs");
  }
  const uint64_t most = std::min(most_entries, list.memory_bytes / list.page_size);
  uint64_t pages = 0;
  list.runs.reserve(run_count);
  for (uint64_t i = 0; i < groups; ++i) {
    const uint64_t repeat = in.number("a group of runs");
    const uint32_t count = number32(in, "the length of a run");
    if (repeat == 0 || count == 0 || repeat > run_count - list.runs.size()) {
      in.fail("the groups of runs do not have " + std::to_string(run_count) + " runs");
    }
    if (count > most || repeat > (most - pages) / count) {
      in.fail("the list has more than " + std::to_string(most) + " pages");
    }
    pages += repeat * count;
    list.runs.insert(list.runs.end(), repeat, HotRun{.region = 0, .count = count, .offset = 0});
  }
  if (list.runs.size() != run_count) {
    in.fail("the groups of runs do not have " + std::to_string(run_count) + " runs");
  }
  return pages;
}

void read_starts(LebReader& in, HotList& list) {
  uint64_t expected = 0;
  uint32_t region = 0;
  const uint64_t page_size = list.page_size;
  const uint64_t file_pages = list.memory_bytes / page_size;
  for (HotRun& run : list.runs) {
    const uint64_t page =
        expected + static_cast<uint64_t>(unzigzag(in.number("the start of a run")));
    if (page >= file_pages || run.count > file_pages - page) {
      in.fail("a run of " + std::to_string(run.count) + " pages begins at page " +
              std::to_string(page) + ", and the memory has " + std::to_string(file_pages));
    }
    const uint64_t at = page * page_size;
    const auto contains = [&](const Region& found) {
      return at >= found.offset && at - found.offset < found.size;
    };
    if (!contains(list.regions[region])) {
      const auto found = std::ranges::find_if(list.regions, contains);
      if (found == list.regions.end()) {
        in.fail("page " + std::to_string(page) + " is outside of the regions");
      }
      region = static_cast<uint32_t>(found - list.regions.begin());
    }
    run.region = region;
    run.offset = at - list.regions[region].offset;
    if (run.count > (list.regions[region].size - run.offset) / page_size) {
      in.fail("the run at page " + std::to_string(page) + " crosses the end of its region");
    }
    expected = page + run.count;
  }
}

// Reads the sections in their order, which is that of their types.
class Decoder {
 public:
  Decoder(std::string_view data, uint64_t most_entries) : data_(data), most_(most_entries) {}

  HotList run() {
    check_frame();
    LebReader in(data_.substr(0, data_.size() - kHpl2CrcBytes), kHeadBytes);
    unsigned before = 0;
    while (in.left() > 0) {
      const auto type = static_cast<unsigned char>(in.bytes(1, "a section")[0]);
      if (type <= before) {
        in.fail("section " + std::to_string(type) + " follows section " + std::to_string(before));
      }
      before = type;
      const uint64_t size = in.number("the length of a section");
      const size_t begin = in.position();
      static_cast<void>(in.bytes(size, "a section"));
      read_section(static_cast<Section>(type), begin, in.position());
    }
    if (!pages_) {
      refuse_hpl2("the list has no section of " +
                  std::string(list_.regions.empty() ? "its image" : "pages"));
    }
    check_hpl2_parts(list_, *pages_);
    check_hpl2_overlap(list_);
    return std::move(list_);
  }

 private:
  void check_frame() const {
    if (data_.size() < kHeadBytes + kHpl2CrcBytes) {
      refuse_hpl2("the list is truncated: it has " + std::to_string(data_.size()) + " bytes");
    }
    const uint64_t size = base::read_little_endian(data_.substr(kHpl2Magic.size(), kHpl2SizeBytes));
    if (size != data_.size()) {
      refuse_hpl2((size > data_.size() ? "the list is truncated: it has "
                                       : "bytes follow the list: it has ") +
                  std::to_string(data_.size()) + " bytes instead of " + std::to_string(size));
    }
    const std::string_view body = data_.substr(0, data_.size() - kHpl2CrcBytes);
    if (base::crc32(body) != base::read_little_endian(data_.substr(body.size()))) {
      refuse_hpl2("the checksum is wrong: the list was changed after it was written");
    }
  }

  void read_section(Section type, size_t begin, size_t end) {
    LebReader in(data_.substr(0, end), begin);
    if (type != Section::image && list_.regions.empty()) {
      in.fail("the first section is not that of the image");
    }
    switch (type) {
      case Section::image:
        list_.format = ListFormat::hpl2;
        read_image(in, list_);
        break;
      case Section::pages:
        read_pages(in);
        break;
      case Section::phases:
        read_phases(in);
        break;
      case Section::weights:
        read_weights(in);
        break;
      case Section::creation:
        read_creation(in);
        break;
      default:
        if ((static_cast<unsigned>(type) & kHpl2Optional) == 0) {
          in.fail("the list needs a newer program: section " +
                  std::to_string(static_cast<unsigned>(type)) + " is not known");
        }
        return;
    }
    if (in.left() != 0) {
      in.fail(std::to_string(in.left()) + " bytes follow in section " +
              std::to_string(static_cast<unsigned>(type)));
    }
  }

  void read_pages(LebReader& in) {
    const uint64_t flags = in.number("the flags");
    if (flags > kHpl2NotExact) {
      in.fail("the list needs a newer program: flags " + std::to_string(flags));
    }
    list_.exact = flags == 0;
    pages_ = read_counts(in, list_, most_);
    read_starts(in, list_);
  }

  void read_phases(LebReader& in) {
    const uint64_t count = count_of(in, 2, "the phases");
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t pages = in.number("a phase");
      list_.phases.push_back({.pages = pages, .name = text_of(in, "the name of a phase")});
    }
  }

  void read_weights(LebReader& in) {
    list_.recordings = number32(in, "the number of recordings");
    const uint64_t count = count_of(in, 2, "the weights");
    list_.weights.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t pages = in.number("a weight");
      list_.weights.push_back({.pages = pages, .weight = number32(in, "a weight")});
    }
  }

  void read_creation(LebReader& in) {
    const uint64_t created = in.number("the time");
    if (created > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      in.fail("the time has more than 63 bits");
    }
    list_.created = static_cast<int64_t>(created);
    list_.source = text_of(in, "the source");
    check_hpl2_text(list_.source, "the source");
  }

  std::string_view data_;
  uint64_t most_;
  HotList list_;
  std::optional<uint64_t> pages_;
};

}  // namespace

HotList read_hpl2(std::string_view data, uint64_t most_entries) {
  return Decoder(data, most_entries).run();
}

}  // namespace hot
