#include "base/option_help.h"

#include <algorithm>
#include <vector>

namespace base {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kGap = 2;               // between an option and what it does
constexpr size_t kLongestInLine = 30;    // what it does begins on the next line for longer ones
constexpr size_t kNarrowestColumn = 10;  // for what it does

std::string form_of(const OptionText& option) {
  std::string text = "      --";
  if (option.letter != 0) {
    text[2] = '-';
    text[3] = option.letter;
    text[4] = ',';
  }
  text += option.name;
  return option.argument == nullptr ? text : text + " " + option.argument;
}

// Breaks at spaces; the lines after the first are indented.
std::string wrapped(std::string_view text, size_t width, size_t indent) {
  std::string lines;
  while (text.size() >= width) {
    const size_t space = text.substr(0, width).find_last_of(' ');
    const bool has_space = space != std::string_view::npos;
    lines += text.substr(0, has_space ? space : width);
    lines += "\n" + std::string(indent, ' ');
    text.remove_prefix(has_space ? space + 1 : width);
  }
  return lines += text;
}

std::string describe_group(std::span<const OptionText> options, std::string_view group) {
  std::vector<OptionText> members;
  size_t longest = 0;
  for (const OptionText& option : options) {
    if (option.group != nullptr && option.group == group) {
      members.push_back(option);
      longest = std::max(longest, form_of(option).size());
    }
  }
  longest = std::min(longest, kLongestInLine);
  const size_t column = longest + kGap;
  std::string text = group.empty() ? "" : " " + std::string(group) + " options:\n";
  for (const OptionText& option : members) {
    std::string line = form_of(option);
    if (line.size() > longest) {
      line += "\n" + std::string(column, ' ');
    } else {
      line.resize(column, ' ');
    }
    text += line + wrapped(option.help, std::max(kNarrowestColumn, kWidth - column), column) + "\n";
  }
  return text;
}

}  // namespace

std::string describe_options(std::span<const OptionText> options) {
  std::vector<std::string_view> groups;
  for (const OptionText& option : options) {
    if (option.group != nullptr &&
        std::find(groups.begin(), groups.end(), option.group) == groups.end()) {
      groups.emplace_back(option.group);
    }
  }
  std::string text;
  for (const std::string_view group : groups) {
    text += (text.empty() ? "" : "\n") + describe_group(options, group);
  }
  return text;
}

}  // namespace base
