// SPDX-License-Identifier: Apache-2.0
// Chooses the color of each cell: that of its earliest or heaviest hot page, else of the memory.
#include "hot/heatmap.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/error.h"
#include "hot/list_parts.h"

namespace hot {
namespace {

constexpr const char* kHole = "#f1efe8";
constexpr const char* kData = "#d3d1c7";
// Distinct for people with any color vision; a later one is painted under an earlier one.
constexpr std::array<const char*, 6> kPhaseColors{"#d85a30", "#185fa5", "#0f6e56",
                                                  "#993556", "#854f0b", "#534ab7"};
// From few recordings to many.
constexpr std::array<const char*, 5> kWeightColors{"#f5c4b3", "#f0997b", "#d85a30", "#993c1d",
                                                   "#4a1b0c"};

uint64_t file_page(const HotList& list, const HotRun& run) {
  const uint64_t base = run.region < list.regions.size() ? list.regions[run.region].offset : 0;
  return (base + run.offset) / list.page_size;
}

std::string mib(uint64_t bytes) {
  constexpr uint64_t kMib = uint64_t{1} << 20U;
  return bytes < 10 * kMib ? std::to_string(bytes >> 10U) + " KiB"
                           : std::to_string(bytes / kMib) + " MiB";
}

uint64_t length_of(const std::vector<NamedList>& lists, const HeatmapRequest& request) {
  uint64_t bytes = request.memory_bytes;
  for (const NamedList& each : lists) {
    bytes = std::max(bytes, each.list.memory_bytes);
  }
  if (bytes == 0) {
    throw base::Refused("cannot draw hot list " + base::quoted(lists.front().name) +
                        ": it has no length of the memory; give --mem FILE");
  }
  constexpr uint64_t kMost = uint64_t{4} << 40U;
  if (bytes > kMost) {
    throw base::Refused("cannot draw hot list " + base::quoted(lists.front().name) +
                        ": the memory has " + std::to_string(bytes) + " bytes, more than 4 TiB");
  }
  return bytes;
}

}  // namespace

std::pair<uint32_t, uint32_t> hilbert_place(uint32_t side, uint64_t index) {
  uint32_t x = 0;
  uint32_t y = 0;
  for (uint32_t s = 1; s < side; s *= 2) {
    const auto rx = static_cast<uint32_t>(index / 2 & 1U);
    const auto ry = static_cast<uint32_t>((index ^ rx) & 1U);
    if (ry == 0) {
      if (rx == 1) {
        x = s - 1 - x;
        y = s - 1 - y;
      }
      std::swap(x, y);
    }
    x += s * rx;
    y += s * ry;
    index /= 4;
  }
  return {x, y};
}

uint64_t hilbert_index(uint32_t side, uint32_t column, uint32_t row) {
  uint64_t index = 0;
  uint32_t x = column;
  uint32_t y = row;
  for (uint32_t s = side / 2; s > 0; s /= 2) {
    const uint32_t rx = (x & s) != 0 ? 1 : 0;
    const uint32_t ry = (y & s) != 0 ? 1 : 0;
    index += uint64_t{s} * s * ((3 * rx) ^ ry);
    if (ry == 0) {
      if (rx == 1) {
        x = side - 1 - x;
        y = side - 1 - y;
      }
      std::swap(x, y);
    }
  }
  return index;
}

Heatmap::Heatmap(const std::vector<NamedList>& lists, const HeatmapRequest& request, uint32_t side)
    : side_(side), order_(request.order), page_size_(lists.front().list.page_size) {
  const uint64_t bytes = length_of(lists, request);
  pages_ = bytes / page_size_;
  const uint64_t cells = uint64_t{side} * side;
  pages_per_cell_ = std::max<uint64_t>(1, (pages_ + cells - 1) / cells);
  cells_.assign((pages_ + pages_per_cell_ - 1) / pages_per_cell_, 0);
  paint_memory(request);
  if (lists.size() == 2) {
    paint_comparison(lists);
  } else {
    paint_list(lists.front().list, request.color);
  }
}

void Heatmap::set(uint64_t page, uint8_t entry) {
  if (page < pages_) {
    cells_[page / pages_per_cell_] = entry;
  }
}

void Heatmap::paint_memory(const HeatmapRequest& request) {
  if (request.data.empty()) {
    legend_.push_back({.color = kData, .text = "memory", .pages = pages_});
    return;
  }
  legend_.push_back({.color = kHole, .text = "zero", .pages = pages_});
  legend_.push_back({.color = kData, .text = "data", .pages = 0});
  for (const auto& [from, to] : request.data) {
    for (uint64_t page = from / page_size_; page * page_size_ < to; ++page) {
      set(page, 1);
      ++legend_[1].pages;
    }
  }
  legend_[0].pages -= std::min(legend_[0].pages, legend_[1].pages);
}

// Parts are painted from the last to the first, so that the earliest phase, or the largest weight,
// of a cell is on top.
void Heatmap::paint_list(const HotList& list, HeatmapColor color) {
  struct Part {
    std::vector<HotRun> runs{};
    uint32_t least = UINT32_MAX;  // weights
    uint32_t most = 0;
  };
  std::map<size_t, Part> parts;  // by color
  const uint64_t last = std::max(list.recordings, 2U) - 1;
  for_each_part(list, [&](const HotRun& run, size_t phase, uint32_t weight) {
    Part& part =
        parts[color == HeatmapColor::phase ? std::min(phase, kPhaseColors.size() - 1)
                                           : (weight - 1) * (kWeightColors.size() - 1) / last];
    part.runs.push_back(run);
    part.least = std::min(part.least, weight);
    part.most = std::max(part.most, weight);
  });
  const auto paint = [&](size_t key, const Part& part) {
    Entry entry{.color = kPhaseColors.front(), .text = "hot", .pages = count_pages(part.runs)};
    if (color == HeatmapColor::weight) {
      entry.color = kWeightColors.at(key);
      entry.text = "in " + std::to_string(part.least) +
                   (part.most > part.least ? " to " + std::to_string(part.most) : "") + " of " +
                   std::to_string(list.recordings);
    } else if (!list.phases.empty()) {
      entry.color = kPhaseColors.at(key);
      const std::string& name = list.phases[key].name;
      entry.text = name.empty() ? "start" : "after " + name;
    }
    const auto number = static_cast<uint8_t>(legend_.size());
    legend_.push_back(std::move(entry));
    for (const HotRun& run : part.runs) {
      const uint64_t first = file_page(list, run);
      for (uint64_t i = 0; i < run.count; ++i) {
        set(first + i, number);
      }
    }
  };
  if (color == HeatmapColor::phase) {
    std::for_each(parts.rbegin(), parts.rend(),
                  [&](const auto& part) { paint(part.first, part.second); });
  } else {
    std::for_each(parts.begin(), parts.end(),
                  [&](const auto& part) { paint(part.first, part.second); });
  }
  const ListStat stat = stat_list(list);
  title_ = std::to_string(stat.distinct) + " hot pages (" + mib(stat.bytes) + ") in " +
           std::to_string(stat.runs) + " runs, of " + mib(pages_ * page_size_) + " of memory";
}

void Heatmap::paint_comparison(const std::vector<NamedList>& lists) {
  const ListDiff diff = diff_lists(lists[0], lists[1]);
  const auto first = static_cast<uint8_t>(legend_.size());
  legend_.push_back({.color = "#185fa5", .text = "only first", .pages = diff.only_first});
  legend_.push_back({.color = "#d85a30", .text = "only second", .pages = diff.only_second});
  legend_.push_back({.color = "#534ab7", .text = "both", .pages = diff.both});
  std::vector<bool> in_first(pages_);
  std::vector<bool> in_second(pages_);
  for (const auto& [list, pages] :
       {std::pair(&lists[0].list, &in_first), std::pair(&lists[1].list, &in_second)}) {
    for (const HotRun& run : list->runs) {
      const uint64_t begin = file_page(*list, run);
      for (uint64_t page = begin; page < begin + run.count && page < pages_; ++page) {
        (*pages)[page] = true;
      }
    }
  }
  for (const bool both : {false, true}) {  // on top
    for (uint64_t page = 0; page < pages_; ++page) {
      if ((in_first[page] && in_second[page]) == both && (in_first[page] || in_second[page])) {
        set(page, static_cast<uint8_t>(both ? first + 2 : in_first[page] ? first : first + 1));
      }
    }
  }
  title_ = std::to_string(diff.both) + " pages in both lists, " + std::to_string(diff.only_first) +
           " only in the first, " + std::to_string(diff.only_second) + " only in the second";
}

std::pair<uint32_t, uint32_t> Heatmap::place(uint64_t page) const {
  const uint64_t cell = page / pages_per_cell_;
  return order_ == HeatmapOrder::hilbert
             ? hilbert_place(side_, cell)
             : std::pair(static_cast<uint32_t>(cell % side_), static_cast<uint32_t>(cell / side_));
}

uint64_t Heatmap::cell_at(uint32_t column, uint32_t row) const {
  return order_ == HeatmapOrder::hilbert ? hilbert_index(side_, column, row)
                                         : uint64_t{row} * side_ + column;
}

const std::string* Heatmap::color(uint32_t column, uint32_t row) const {
  const uint64_t cell = cell_at(column, row);
  return cell < cells_.size() ? &legend_[cells_[cell]].color : nullptr;
}

}  // namespace hot
