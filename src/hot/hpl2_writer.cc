// SPDX-License-Identifier: Apache-2.0
// Encodes HPL2: sections with a type and a length, and a CRC-32 over all of the file.
#include "hot/hpl2_writer.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <vector>

#include "base/crc32.h"
#include "base/little_endian.h"
#include "hot/hpl2_rules.h"
#include "hot/leb128.h"
#include "hot/region.h"

namespace hot {
namespace {

using Section = Hpl2Section;

// A signed number: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...
uint64_t zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1U) ^ static_cast<uint64_t>(value >> 63);
}

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
  append_leb128(body, list.exact ? 0 : kHpl2NotExact);
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

}  // namespace

size_t largest_hpl2(uint64_t entries, size_t limit) {
  // A page in a run, a phase and a weight group of its own, and all strings.
  constexpr size_t kEntry = 6 + 5 + 10 + 10 + 10;
  constexpr size_t kRest = kMaxRegions * 20 + 4 * kHpl2MostTextBytes + 1024;
  return entries > limit / kEntry ? limit : std::min(limit, kRest + entries * kEntry);
}

std::string encode_hpl2(const HotList& list) {
  check_hpl2_layout(list);
  const std::vector<HotRun> runs = joined(list);
  for (const HotRun& run : runs) {
    if (run.region >= list.regions.size() || run.count == 0 || run.offset % list.page_size != 0 ||
        run.offset / list.page_size >= list.regions[run.region].size / list.page_size ||
        run.count > (list.regions[run.region].size - run.offset) / list.page_size) {
      refuse_hpl2("the pages at region " + std::to_string(run.region) + ", offset " +
                  std::to_string(run.offset) + " are outside of the regions");
    }
  }
  check_hpl2_overlap(list);
  check_hpl2_parts(list, count_pages(runs));
  check_hpl2_text(list.digest, "the digest");
  check_hpl2_text(list.source, "the source");
  std::string out(kHpl2Magic);
  out.append(kHpl2SizeBytes, '\0');
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
  base::append_little_endian(size, out.size() + kHpl2CrcBytes, kHpl2SizeBytes);
  out.replace(kHpl2Magic.size(), kHpl2SizeBytes, size);
  base::append_little_endian(out, base::crc32(out), kHpl2CrcBytes);
  return out;
}

}  // namespace hot
