// SPDX-License-Identifier: Apache-2.0
// A picture of the hot pages in a guest's memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hot/list_sets.h"

namespace hot {

enum class HeatmapOrder { hilbert, rows };
enum class HeatmapColor { phase, weight };

struct HeatmapRequest {
  HeatmapOrder order = HeatmapOrder::hilbert;
  HeatmapColor color = HeatmapColor::phase;
  // Ranges of the memory file that have data, in bytes, ascending; empty: not known.
  std::vector<std::pair<uint64_t, uint64_t>> data{};
  uint64_t memory_bytes = 0;  // if the lists do not have it
};

// A square of cells. Each cell stands for `pages_per_cell` adjacent pages of the memory file.
class Heatmap {
 public:
  // A color of the legend and its meaning.
  struct Entry {
    std::string color;  // "#rrggbb"
    std::string text;
    uint64_t pages = 0;
  };

  // One list, or two to compare. `side` is the number of cells of a side: a power of two. Throws
  // base::Refused if the lists are for different images, or the length of the memory is not known.
  Heatmap(const std::vector<NamedList>& lists, const HeatmapRequest& request, uint32_t side);

  uint32_t side() const { return side_; }
  uint64_t pages_per_cell() const { return pages_per_cell_; }
  // Column and row of the cell of a page, from the upper left corner.
  std::pair<uint32_t, uint32_t> place(uint64_t page) const;
  // The color of a cell; nothing beyond the end of the memory.
  const std::string* color(uint32_t column, uint32_t row) const;
  const std::string& title() const { return title_; }
  const std::vector<Entry>& legend() const { return legend_; }

 private:
  void paint_memory(const HeatmapRequest& request);
  void paint_list(const HotList& list, HeatmapColor color);
  void paint_comparison(const std::vector<NamedList>& lists);
  uint64_t cell_at(uint32_t column, uint32_t row) const;
  void set(uint64_t page, uint8_t entry);

  uint32_t side_;
  HeatmapOrder order_;
  uint64_t pages_ = 0;  // of the memory
  uint64_t page_size_ = kSmallPage;
  uint64_t pages_per_cell_ = 1;
  std::vector<uint8_t> cells_;  // index into legend_, in the order of the memory
  std::vector<Entry> legend_;
  std::string title_;
};

// The place of a cell on a Hilbert curve through a square with `side` cells, and the inverse.
std::pair<uint32_t, uint32_t> hilbert_place(uint32_t side, uint64_t index);
uint64_t hilbert_index(uint32_t side, uint32_t column, uint32_t row);

// Geometry of the SVG: the upper left corner and the size of a cell, in pixels.
struct SvgGrid {
  double left = 0;
  double top = 0;
  double cell = 0;
};
SvgGrid svg_grid(const Heatmap& map);
// A picture that is readable on light and on dark backgrounds, because it brings its own.
std::string heatmap_svg(const Heatmap& map);
// Lines of half blocks in 256 colors.
std::string heatmap_blocks(const Heatmap& map);

}  // namespace hot
