// SPDX-License-Identifier: Apache-2.0
// Chooses the reader of a hot list by its first bytes, and checks its entries.
#include "hot/hot_list.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "hot/hpl1.h"
#include "hot/hpl2_reader.h"
#include "hot/hpl2_rules.h"
#include "hot/hpl2_writer.h"

namespace hot {
namespace {

// A format of hot lists. The magics of all formats have the same length.
struct Format {
  std::string_view magic;
  HotList (*read)(std::string_view data, uint64_t most_entries);
  size_t (*largest)(uint64_t entries, size_t limit);
};
constexpr std::array kFormats{
    Format{.magic = kHpl1Magic,
           .read =
               [](std::string_view data, uint64_t most_entries) {
                 return HotList{.runs = read_hpl1(data, most_entries)};
               },
           .largest = largest_hpl1},
    Format{.magic = kHpl2Magic, .read = read_hpl2, .largest = largest_hpl2},
};
constexpr size_t kMagicBytes = kHpl1Magic.size();

std::string magics() {
  std::string text;
  for (const Format& format : kFormats) {
    text += (text.empty() ? "" : " or ") + std::string(format.magic);
  }
  return text;
}

HotList read(std::string_view data, uint64_t most_entries) {
  if (data.empty()) {
    throw base::BadData("the file is empty");
  }
  const auto* const format = std::ranges::find_if(
      kFormats, [&](const Format& known) { return data.starts_with(known.magic); });
  if (format == kFormats.end()) {
    throw base::BadData("the file starts with " + base::quoted(data.substr(0, kMagicBytes)) +
                        ", not with " + magics());
  }
  return format->read(data, most_entries);
}

std::string same_layout_problem(const HotList& list, const ImageFacts& image) {
  if (image.page_size != 0 && image.page_size != list.page_size) {
    return "the list is for pages of " + std::to_string(list.page_size) +
           " bytes, and the guest has pages of " + std::to_string(image.page_size);
  }
  const bool same = std::ranges::equal(
      list.regions, image.regions,
      [](const Region& a, const Region& b) { return a.offset == b.offset && a.size == b.size; });
  return image.regions.empty() || same ? "" : "the list is for memory with other regions";
}

void check_entry(size_t index, const HotRun& run, std::span<const Region> regions,
                 std::string_view name) {
  std::string why;
  if (run.region >= regions.size()) {
    why = "the guest has " + std::to_string(regions.size()) + " regions";
  } else if (run.offset >= regions[run.region].size) {
    why = "the region has " + std::to_string(regions[run.region].size) + " bytes";
  } else if (run.offset % regions[run.region].page_size != 0) {
    why = "the offset is not a multiple of the page size " +
          std::to_string(regions[run.region].page_size);
  } else {
    return;
  }
  throw base::Refused("cannot use hot list " + base::quoted(name) + ": entry " +
                      std::to_string(index) + " is region " + std::to_string(run.region) +
                      ", offset " + std::to_string(run.offset) + ": " + why +
                      "; the list was recorded from another image");
}

}  // namespace

size_t largest_hot_list(uint64_t entries) {
  size_t largest = 0;
  for (const Format& format : kFormats) {
    largest = std::max(largest, format.largest(entries, kMaxHotListBytes));
  }
  return largest;
}

uint64_t count_pages(std::span<const HotRun> runs) {
  uint64_t pages = 0;
  for (const HotRun& run : runs) {
    pages += run.count;
  }
  return pages;
}

std::vector<HotPage> expand(std::span<const HotRun> runs, uint64_t page_size) {
  std::vector<HotPage> pages;
  pages.reserve(count_pages(runs));
  for (const HotRun& run : runs) {
    for (uint64_t i = 0; i < run.count; ++i) {
      pages.push_back({.region = run.region, .offset = run.offset + i * page_size});
    }
  }
  return pages;
}

void append_page(HotList& list, const HotPage& page) {
  if (!list.runs.empty()) {
    HotRun& last = list.runs.back();
    if (last.region == page.region && last.offset + last.count * list.page_size == page.offset &&
        last.count != std::numeric_limits<uint32_t>::max()) {
      ++last.count;
      return;
    }
  }
  list.runs.push_back({.region = page.region, .offset = page.offset});
}

std::string encode_hot_list(const HotList& list, ListFormat format) {
  return format == ListFormat::hpl1 ? encode_hpl1(list.runs, list.page_size) : encode_hpl2(list);
}

HotList parse_hot_list(std::string_view data, std::string_view name, uint64_t most_entries) {
  Decoded decoded = try_decode_hot_list(data, most_entries);
  if (!decoded.problem.empty()) {
    throw base::BadData("cannot use hot list " + base::quoted(name) + ": " + decoded.problem);
  }
  return std::move(decoded.list);
}

Decoded try_decode_hot_list(std::string_view data, uint64_t most_entries) {
  try {
    return {.list = read(data, most_entries), .problem = {}};
  } catch (const base::BadData& error) {
    return {.list = {}, .problem = error.what()};
  }
}

std::vector<HotPage> decode_hot_list(std::string_view data, std::string_view name,
                                     uint64_t most_entries) {
  const HotList list = parse_hot_list(data, name, most_entries);
  return expand(list.runs, list.page_size);
}

std::string bounds_problem(std::span<const HotRun> runs, uint64_t memory_bytes) {
  const auto bad = std::ranges::find_if(runs, [&](const HotRun& run) {
    return run.offset >= memory_bytes || run.offset % kSmallPage != 0;
  });
  if (bad == runs.end()) {
    return "";
  }
  return "entry " + std::to_string(bad - runs.begin()) + " is at byte " +
         std::to_string(bad->offset) +
         (bad->offset >= memory_bytes
              ? ", and the memory has " + std::to_string(memory_bytes) +
                    " bytes; the list is for a larger image"
              : ", which is not a multiple of " + std::to_string(kSmallPage));
}

std::string identity_problem(const HotList& list, const ImageFacts& image) {
  if (list.format == ListFormat::hpl1) {
    return bounds_problem(list.runs, image.memory_bytes);
  }
  if (list.memory_bytes != image.memory_bytes) {
    return "the list is for an image of " + std::to_string(list.memory_bytes) +
           " bytes, and the memory has " + std::to_string(image.memory_bytes);
  }
  if (!list.digest.empty() && !image.digest.empty() && list.digest != image.digest) {
    return "the list is for another image of this size: its digest is " +
           base::quoted(list.digest) + ", and that of the memory is " + base::quoted(image.digest);
  }
  return same_layout_problem(list, image);
}

void check_hot_list(std::span<const HotPage> pages, std::span<const Region> regions,
                    std::string_view name) {
  for (size_t i = 0; i < pages.size(); ++i) {
    check_entry(i, {.region = pages[i].region, .offset = pages[i].offset}, regions, name);
  }
}

void check_hot_list(const HotList& list, std::span<const Region> regions, std::string_view name) {
  const ImageFacts image{.regions = {regions.begin(), regions.end()},
                         .page_size = regions.empty() ? 0 : regions.front().page_size};
  if (list.format == ListFormat::hpl2) {
    if (const std::string why = same_layout_problem(list, image); !why.empty()) {
      throw base::Refused("cannot use hot list " + base::quoted(name) + ": " + why);
    }
  }
  for (size_t i = 0; i < list.runs.size(); ++i) {
    check_entry(i, list.runs[i], regions, name);
  }
}

}  // namespace hot
