// SPDX-License-Identifier: Apache-2.0
// Encodes and decodes HPL2: sections with a type and a length, and a CRC-32 over all of the file.
#include "hot/hpl2.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "base/crc32.h"
#include "base/error.h"
#include "base/little_endian.h"
#include "base/utf8.h"
#include "hot/leb128.h"
#include "hot/run_overlap.h"
#include "hot/trace.h"

namespace hot {
namespace {

constexpr size_t kSizeBytes = 8;
constexpr size_t kHeadBytes = kHpl2Magic.size() + kSizeBytes;
constexpr size_t kCrcBytes = 4;
constexpr uint64_t kMostRegions = kMaxRegions;
constexpr size_t kMostTextBytes = 4096;

// A reader skips an unknown section if this bit is set in its type, and refuses the list if not.
constexpr unsigned kOptional = 0x80;
enum class Section : uint8_t { image = 1, pages = 2, phases = 3, weights = 4, creation = 0x80 };

constexpr uint64_t kNotExact = 1;  // the only flag of the section of pages

// ---- numbers that may be negative: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...

uint64_t zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1U) ^ static_cast<uint64_t>(value >> 63);
}

int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1U) ^ -static_cast<int64_t>(value & 1U);
}

// ---- encoding

void append_text(std::string& out, std::string_view text) {
  append_leb128(out, text.size());
  out += text;
}

void append_section(std::string& out, Section type, std::string_view body) {
  out += static_cast<char>(type);
  append_text(out, body);
}

std::string image_section(const HotList& list) {
  std::string body;
  append_leb128(body, list.page_size);
  append_leb128(body, list.memory_bytes);
  append_leb128(body, list.regions.size());
  for (const Region& region : list.regions) {
    append_leb128(body, region.offset);
    append_leb128(body, region.size);
  }
  append_text(body, list.digest);
  return body;
}

// Page number in the memory file.
uint64_t first_page(const HotList& list, const HotRun& run) {
  return (list.regions[run.region].offset + run.offset) / list.page_size;
}

bool continues(const HotRun& run, const HotRun& before, uint64_t page_size) {
  return run.region == before.region && run.offset == before.offset + before.count * page_size &&
         run.count <= std::numeric_limits<uint32_t>::max() - before.count;
}

std::vector<HotRun> joined(const HotList& list) {
  std::vector<HotRun> runs;
  runs.reserve(list.runs.size());
  for (const HotRun& run : list.runs) {
    if (!runs.empty() && continues(run, runs.back(), list.page_size)) {
      runs.back().count += run.count;
    } else {
      runs.push_back(run);
    }
  }
  return runs;
}

std::string pages_section(const HotList& list, const std::vector<HotRun>& runs) {
  std::string body;
  append_leb128(body, list.exact ? 0 : kNotExact);
  append_leb128(body, runs.size());
  std::string groups;
  uint64_t group_count = 0;
  for (size_t i = 0; i < runs.size(); ++group_count) {
    size_t end = i + 1;
    while (end < runs.size() && runs[end].count == runs[i].count) {
      ++end;
    }
    append_leb128(groups, end - i);
    append_leb128(groups, runs[i].count);
    i = end;
  }
  append_leb128(body, group_count);
  body += groups;
  uint64_t expected = 0;  // the page after the run before
  for (const HotRun& run : runs) {
    const uint64_t page = first_page(list, run);
    append_leb128(body, zigzag(static_cast<int64_t>(page - expected)));
    expected = page + run.count;
  }
  return body;
}

std::string phases_section(const HotList& list) {
  std::string body;
  append_leb128(body, list.phases.size());
  for (const HotPhase& phase : list.phases) {
    append_leb128(body, phase.pages);
    append_text(body, phase.name);
  }
  return body;
}

std::string weights_section(const HotList& list) {
  std::string body;
  append_leb128(body, list.recordings);
  append_leb128(body, list.weights.size());
  for (const HotWeight& weight : list.weights) {
    append_leb128(body, weight.pages);
    append_leb128(body, weight.weight);
  }
  return body;
}

// ---- the rules that both directions check

[[noreturn]] void refuse(const std::string& why) {
  throw base::BadData(why);
}

void check_layout(const HotList& list) {
  if (list.page_size != kSmallPage && list.page_size != kHugePage) {
    refuse("page size " + std::to_string(list.page_size) + " is neither 4096 nor 2097152");
  }
  if (const auto problem = file_layout_problem(list.regions, list.memory_bytes)) {
    refuse(*problem);
  }
}

void check_text(std::string_view text, std::string_view what) {
  if (text.size() > kMostTextBytes || base::printable(text) != text) {
    refuse(std::string(what) + " is longer than " + std::to_string(kMostTextBytes) +
           " bytes, or has control characters");
  }
}

void check_parts(const HotList& list, uint64_t pages) {
  uint64_t covered = 0;
  for (const HotPhase& phase : list.phases) {
    check_text(phase.name, "the name of a phase");
    if (phase.pages > pages - covered) {
      refuse("the phases have more pages than the list");
    }
    covered += phase.pages;
  }
  if (!list.phases.empty() && covered != pages) {
    refuse("the phases have fewer pages than the list");
  }
  covered = 0;
  for (const HotWeight& weight : list.weights) {
    if (weight.pages == 0 || weight.pages > pages - covered) {
      refuse("the weights have more pages than the list, or a group of no page");
    }
    if (weight.weight == 0 || weight.weight > list.recordings) {
      refuse("weight " + std::to_string(weight.weight) + " is not between 1 and " +
             std::to_string(list.recordings));
    }
    covered += weight.pages;
  }
  if (!list.weights.empty() && covered != pages) {
    refuse("the weights have fewer pages than the list");
  }
}

// ---- decoding

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
  if (count > kMostRegions) {
    in.fail("more than " + std::to_string(kMostRegions) + " regions");
  }
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t offset = in.number("a region");
    const uint64_t size = in.number("a region");
    list.regions.push_back(
        {.base = 0, .size = size, .offset = offset, .page_size = list.page_size});
  }
  list.digest = text_of(in, "the digest");
  check_text(list.digest, "the digest");
  check_layout(list);
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

void check_overlap(const HotList& list) {
  if (const std::optional<uint64_t> page = repeated_page(list)) {
    refuse("page " + std::to_string(*page) + " is listed twice");
  }
}

// Reads the sections in their order, which is that of their types.
class Decoder {
 public:
  Decoder(std::string_view data, uint64_t most_entries) : data_(data), most_(most_entries) {}

  HotList run() {
    check_frame();
    LebReader in(data_.substr(0, data_.size() - kCrcBytes), kHeadBytes);
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
      refuse("the list has no section of " +
             std::string(list_.regions.empty() ? "its image" : "pages"));
    }
    check_parts(list_, *pages_);
    check_overlap(list_);
    return std::move(list_);
  }

 private:
  // Checks the length and the checksum, so that later failures are those of the writer.
  void check_frame() const {
    if (data_.size() < kHeadBytes + kCrcBytes) {
      refuse("the list is truncated: it has " + std::to_string(data_.size()) + " bytes");
    }
    const uint64_t size = base::read_little_endian(data_.substr(kHpl2Magic.size(), kSizeBytes));
    if (size != data_.size()) {
      refuse((size > data_.size() ? "the list is truncated: it has "
                                  : "bytes follow the list: it has ") +
             std::to_string(data_.size()) + " bytes instead of " + std::to_string(size));
    }
    const std::string_view body = data_.substr(0, data_.size() - kCrcBytes);
    if (base::crc32(body) != base::read_little_endian(data_.substr(body.size()))) {
      refuse("the checksum is wrong: the list was changed after it was written");
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
        if ((static_cast<unsigned>(type) & kOptional) == 0) {
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
    if (flags > kNotExact) {
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
    check_text(list_.source, "the source");
  }

  std::string_view data_;
  uint64_t most_;
  HotList list_;
  std::optional<uint64_t> pages_;
};

}  // namespace

size_t largest_hpl2(uint64_t entries, size_t limit) {
  // A page in a run, a phase and a weight group of its own, and all strings.
  constexpr size_t kEntry = 6 + 5 + 10 + 10 + 10;
  constexpr size_t kRest = kMaxRegions * 20 + 4 * kMostTextBytes + 1024;
  return entries > limit / kEntry ? limit : std::min(limit, kRest + entries * kEntry);
}

std::string encode_hpl2(const HotList& list) {
  check_layout(list);
  const std::vector<HotRun> runs = joined(list);
  for (const HotRun& run : runs) {
    if (run.region >= list.regions.size() || run.count == 0 || run.offset % list.page_size != 0 ||
        run.offset / list.page_size >= list.regions[run.region].size / list.page_size ||
        run.count > (list.regions[run.region].size - run.offset) / list.page_size) {
      refuse("the pages at region " + std::to_string(run.region) + ", offset " +
             std::to_string(run.offset) + " are outside of the regions");
    }
  }
  check_overlap(list);
  check_parts(list, count_pages(runs));
  check_text(list.digest, "the digest");
  check_text(list.source, "the source");
  std::string out(kHpl2Magic);
  out.append(kSizeBytes, '\0');
  append_section(out, Section::image, image_section(list));
  append_section(out, Section::pages, pages_section(list, runs));
  if (!list.phases.empty()) {
    append_section(out, Section::phases, phases_section(list));
  }
  if (!list.weights.empty() || list.recordings != 1) {
    append_section(out, Section::weights, weights_section(list));
  }
  if (list.created != 0 || !list.source.empty()) {
    std::string body;
    append_leb128(body, static_cast<uint64_t>(std::max<int64_t>(list.created, 0)));
    append_text(body, list.source);
    append_section(out, Section::creation, body);
  }
  std::string size;
  base::append_little_endian(size, out.size() + kCrcBytes, kSizeBytes);
  out.replace(kHpl2Magic.size(), kSizeBytes, size);
  base::append_little_endian(out, base::crc32(out), kCrcBytes);
  return out;
}

HotList read_hpl2(std::string_view data, uint64_t most_entries) {
  return Decoder(data, most_entries).run();
}

}  // namespace hot
