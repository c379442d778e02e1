// SPDX-License-Identifier: Apache-2.0
// Writes heatmaps as SVG and for terminals.
#include <array>
#include <charconv>
#include <cstdint>
#include <string>

#include "hot/heatmap.h"

namespace hot {
namespace {

constexpr double kSide = 640;
constexpr double kMargin = 24;
constexpr double kTitle = 48;
constexpr double kLegendLine = 22;

std::string decimal(double value) {
  std::array<char, 32> text{};
  char* end =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, 2).ptr;
  return {text.data(), end};
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string rect(double x, double y, double width, double height, const std::string& color) {
  return "<rect x=\"" + decimal(x) + "\" y=\"" + decimal(y) + "\" width=\"" + decimal(width) +
         "\" height=\"" + decimal(height) + "\" fill=\"" + color + "\"/>\n";
}

std::string text(double x, double y, int size, const std::string& words) {
  return "<text x=\"" + decimal(x) + "\" y=\"" + decimal(y) + "\" font-size=\"" +
         std::to_string(size) + "\">" + escaped(words) + "</text>\n";
}

// The nearest color of the 6x6x6 cube of 256-color terminals.
int terminal_color(const std::string& color) {
  const auto component = [&](size_t at) {
    int value = 0;
    std::from_chars(color.data() + at, color.data() + at + 2, value, 16);
    constexpr int kFirst = 48;
    constexpr int kSecond = 115;
    return value < kFirst ? 0 : value < kSecond ? 1 : (value - 35) / 40;
  };
  return 16 + 36 * component(1) + 6 * component(3) + component(5);
}

}  // namespace

SvgGrid svg_grid(const Heatmap& map) {
  return {.left = kMargin, .top = kMargin + kTitle, .cell = kSide / map.side()};
}

std::string heatmap_svg(const Heatmap& map) {
  const SvgGrid grid = svg_grid(map);
  const double width = kSide + 2 * kMargin;
  const double legend_top = grid.top + kSide + kMargin;
  constexpr size_t kColumns = 3;
  const size_t lines = (map.legend().size() + kColumns - 1) / kColumns + 1;
  const double height = legend_top + kLegendLine * static_cast<double>(lines) + kMargin;
  std::string svg = R"(<svg xmlns="http://www.w3.org/2000/svg" width=")" + decimal(width) +
                    "\" height=\"" + decimal(height) + "\" viewBox=\"0 0 " + decimal(width) + " " +
                    decimal(height) +
                    "\" font-family=\"sans-serif\" fill=\"#2c2c2a\" "
                    "shape-rendering=\"crispEdges\">\n<title>" +
                    escaped(map.title()) + "</title>\n";
  svg += "<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#ffffff\" stroke=\"#b4b2a9\"/>\n";
  svg += text(kMargin, kMargin + 20, 15, map.title());
  for (uint32_t row = 0; row < map.side(); ++row) {
    for (uint32_t column = 0; column < map.side();) {
      const std::string* color = map.color(column, row);
      uint32_t end = column + 1;
      while (end < map.side() && map.color(end, row) == color) {
        ++end;
      }
      if (color != nullptr) {
        svg += rect(grid.left + column * grid.cell, grid.top + row * grid.cell,
                    (end - column) * grid.cell, grid.cell, *color);
      }
      column = end;
    }
  }
  size_t at = 0;
  for (const Heatmap::Entry& entry : map.legend()) {
    const size_t line = at / kColumns;
    const double x = kMargin + static_cast<double>(at % kColumns) * (kSide / kColumns);
    const double y = legend_top + kLegendLine * static_cast<double>(line);
    svg += rect(x, y, 12, 12, entry.color) +
           text(x + 20, y + 11, 13, entry.text + ", " + std::to_string(entry.pages) + " pages");
    ++at;
  }
  svg += text(kMargin, height - kMargin, 12,
              "one cell: " + std::to_string(map.pages_per_cell()) + " adjacent pages");
  return svg + "</svg>\n";
}

std::string heatmap_blocks(const Heatmap& map) {
  std::string out = map.title() + "\n";
  const auto code = [&](uint32_t column, uint32_t row, const char* kind, const char* none) {
    const std::string* color = map.color(column, row);
    return color == nullptr ? std::string(none)
                            : kind + std::to_string(terminal_color(*color)) + "m";
  };
  for (uint32_t row = 0; row < map.side(); row += 2) {
    for (uint32_t column = 0; column < map.side(); ++column) {
      out += code(column, row, "\x1b[38;5;", "\x1b[39m") +
             code(column, row + 1, "\x1b[48;5;", "\x1b[49m") + "\u2580";
    }
    out += "\x1b[0m\n";
  }
  for (const Heatmap::Entry& entry : map.legend()) {
    out += "\x1b[38;5;" + std::to_string(terminal_color(entry.color)) + "m\u2588\u2588\x1b[0m " +
           entry.text + ", " + std::to_string(entry.pages) + " pages\n";
  }
  return out + "one cell: " + std::to_string(map.pages_per_cell()) + " adjacent pages\n";
}

}  // namespace hot
