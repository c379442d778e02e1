// SPDX-License-Identifier: Apache-2.0
// Chooses the reader of a hot list by its first bytes, and checks its entries.
#include "hot/hot_list.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "hot/hpl1.h"

namespace hot {
namespace {

// A format of hot lists. The magics of all formats have the same length.
struct Format {
  std::string_view magic;
  std::vector<HotPage> (*read)(std::string_view data, uint64_t most_entries);
  size_t (*largest)(uint64_t entries, size_t limit);
};
constexpr std::array kFormats{
    Format{.magic = kHpl1Magic, .read = read_hpl1, .largest = largest_hpl1},
};
constexpr size_t kMagicBytes = kHpl1Magic.size();

std::string magics() {
  std::string text;
  for (const Format& format : kFormats) {
    text += (text.empty() ? "" : " or ") + std::string(format.magic);
  }
  return text;
}

std::vector<HotPage> read(std::string_view data, uint64_t most_entries) {
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

}  // namespace

size_t largest_hot_list(uint64_t entries) {
  size_t largest = 0;
  for (const Format& format : kFormats) {
    largest = std::max(largest, format.largest(entries, kMaxHotListBytes));
  }
  return largest;
}

Decoded try_decode_hot_list(std::string_view data, uint64_t most_entries) {
  try {
    return {.pages = read(data, most_entries), .problem = {}};
  } catch (const base::BadData& error) {
    return {.pages = {}, .problem = error.what()};
  }
}

std::vector<HotPage> decode_hot_list(std::string_view data, std::string_view name,
                                     uint64_t most_entries) {
  Decoded decoded = try_decode_hot_list(data, most_entries);
  if (!decoded.problem.empty()) {
    throw base::BadData("cannot use hot list " + base::quoted(name) + ": " + decoded.problem);
  }
  return std::move(decoded.pages);
}

std::string bounds_problem(std::span<const HotPage> pages, uint64_t memory_bytes) {
  const auto bad = std::ranges::find_if(pages, [&](const HotPage& page) {
    return page.offset >= memory_bytes || page.offset % kSmallPage != 0;
  });
  if (bad == pages.end()) {
    return "";
  }
  return "entry " + std::to_string(bad - pages.begin()) + " is at byte " +
         std::to_string(bad->offset) +
         (bad->offset >= memory_bytes
              ? ", and the memory has " + std::to_string(memory_bytes) +
                    " bytes; the list is for a larger image"
              : ", which is not a multiple of " + std::to_string(kSmallPage));
}

void check_hot_list(std::span<const HotPage> pages, std::span<const Region> regions,
                    std::string_view name) {
  for (size_t i = 0; i < pages.size(); ++i) {
    const HotPage& page = pages[i];
    std::string why;
    if (page.region >= regions.size()) {
      why = "the guest has " + std::to_string(regions.size()) + " regions";
    } else if (page.offset >= regions[page.region].size) {
      why = "the region has " + std::to_string(regions[page.region].size) + " bytes";
    } else if (page.offset % regions[page.region].page_size != 0) {
      why = "the offset is not a multiple of the page size " +
            std::to_string(regions[page.region].page_size);
    } else {
      continue;
    }
    throw base::BadData("cannot use hot list " + base::quoted(name) + ": entry " +
                        std::to_string(i) + " is region " + std::to_string(page.region) +
                        ", offset " + std::to_string(page.offset) + ": " + why +
                        "; the list was recorded from another image");
  }
}

}  // namespace hot
