// SPDX-License-Identifier: Apache-2.0
// Lists of hot pages: the pages that a guest touches first, in order. Any format is read here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hot/hot_page.h"
#include "hot/region.h"

namespace hot {

// The largest list that is read from a file. It holds more entries than a 256 GiB guest has hot
// pages.
inline constexpr size_t kMaxHotListBytes = size_t{256} << 20U;
// The largest list that hotpage-record works with, in pages: all of a 256 GiB guest. A list of 50
// bytes can name 2^50 pages.
inline constexpr uint64_t kMaxListedPages = uint64_t{1} << 26U;
// Size in bytes of the largest list with `entries` entries in any format, at most kMaxHotListBytes.
size_t largest_hot_list(uint64_t entries);

enum class ListFormat { hpl1, hpl2 };

// A part of a recording: its pages, and the mark that began it. The first part has no name.
struct HotPhase {
  uint64_t pages = 0;
  std::string name{};
  bool operator==(const HotPhase&) const = default;
};
// The number of recordings in which each of the next `pages` pages occurred.
struct HotWeight {
  uint64_t pages = 0;
  uint32_t weight = 1;
  bool operator==(const HotWeight&) const = default;
};

// A list in memory. Only `runs` and `format` come from HPL1. HPL2 has all fields.
struct HotList {
  ListFormat format = ListFormat::hpl1;
  std::vector<HotRun> runs{};  // in the order in which the pages are to be installed
  uint64_t page_size = kSmallPage;
  std::vector<Region> regions{};     // of the memory file, with base 0; empty: not known
  uint64_t memory_bytes = 0;         // length of the memory file; 0: not known
  std::string digest{};              // of the image, as in image.json; empty: not known
  bool exact = true;                 // false: pages may be listed that were never touched
  std::vector<HotPhase> phases{};    // empty: one phase without a name; else they cover all pages
  std::vector<HotWeight> weights{};  // empty: all pages have weight 1; else they cover all pages
  uint32_t recordings = 1;           // the largest possible weight
  int64_t created = 0;               // seconds since 1970; 0: not known
  std::string source{};              // what the list was made from, for people

  bool operator==(const HotList&) const = default;
};

uint64_t count_pages(std::span<const HotRun> runs);
// The pages of runs, one by one. `page_size` is the distance between two pages of a run.
std::vector<HotPage> expand(std::span<const HotRun> runs, uint64_t page_size);
// Appends a page to a list, and to its last run if it is adjacent. Phases and weights are not
// changed.
void append_page(HotList& list, const HotPage& page);

// Writes a list. HPL1 omits all but the pages. HPL2 needs regions and memory_bytes, and pages that
// fit them and occur once: else throws base::BadData.
std::string encode_hot_list(const HotList& list, ListFormat format);

// Reads a list of any known format, which its first bytes name. Throws base::BadData
// "cannot use hot list 'NAME': PROBLEM". The problem of a list of another format names its first
// bytes. A list with more than `most_entries` pages is refused.
HotList parse_hot_list(std::string_view data, std::string_view name,
                       uint64_t most_entries = std::numeric_limits<uint64_t>::max());

struct Decoded {
  HotList list;
  std::string problem;  // empty if the list is well formed; else `list` is empty
};
// As parse_hot_list, with the problem as a value.
Decoded try_decode_hot_list(std::string_view data,
                            uint64_t most_entries = std::numeric_limits<uint64_t>::max());
// As parse_hot_list, but returns only the pages.
std::vector<HotPage> decode_hot_list(std::string_view data, std::string_view name,
                                     uint64_t most_entries = std::numeric_limits<uint64_t>::max());

// Describes the first entry that cannot belong to a memory file of `memory_bytes` with any regions:
// it lies outside of the file, or is not a multiple of kSmallPage. Empty if there is no such entry.
std::string bounds_problem(std::span<const HotRun> runs, uint64_t memory_bytes);

// What is known of the image for which a list is to be used.
struct ImageFacts {
  uint64_t memory_bytes = 0;
  std::string digest{};           // empty: not known
  std::vector<Region> regions{};  // empty: not known
  uint64_t page_size = 0;         // of the guest; 0: not known
};
// Why a well-formed list is not for this image: its length, its digest (if both are known), the
// page size or the regions differ, or an entry is outside. Empty if it is for it, as far as the
// list's format can say.
std::string identity_problem(const HotList& list, const ImageFacts& image);

// Throws base::Refused naming `name` and the first entry that is outside of `regions` or not a
// multiple of its region's page size: a list that was recorded from a larger image or another
// layout is rejected as a whole.
void check_hot_list(std::span<const HotPage> pages, std::span<const Region> regions,
                    std::string_view name);
// The same for a list. The regions of an HPL2 list must be these.
void check_hot_list(const HotList& list, std::span<const Region> regions, std::string_view name);

}  // namespace hot
