// SPDX-License-Identifier: Apache-2.0
// Parses the shape of serialized structs from the lists in release_structs_*.h.
//
// Only the tests' own writer of states uses this. It shares no code with the reader. The notation:
//
//| NAME = PART...       a struct: its members in order
//| u8 u16 u32 u64 bool  numbers
//| text                 a string
//| u32:irq text:drive   the role for which StateValueMaker makes the value
//| NAME                 another struct
//| ?PART *PART 4xPART   optional, a vector, an array
//| (PART...)            a tuple; () for an enum's variant without data
//| {PART...}            an enum: one of its variants
//| x86:PART arm:PART    only on that architecture
#pragma once

#include <cctype>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct Shape {
  enum class Kind { number, boolean, text, tuple, sequence, option, choice };
  Kind kind = Kind::tuple;
  size_t bytes = 0;  // of a number
  std::string role{};
  std::string name{};  // of a struct
  std::vector<Shape> parts{};

  bool contains(std::string_view wanted) const {
    for (const Shape& part : parts) {
      if (part.contains(wanted)) {
        return true;
      }
    }
    return role == wanted;
  }
};

class ShapeParser {
 public:
  // `structs`: lines "NAME = PART...".
  ShapeParser(std::string_view structs, bool is_arm) : is_arm_(is_arm) {
    while (!structs.empty()) {
      const std::string_view line = structs.substr(0, structs.find('\n'));
      structs.remove_prefix(std::min(structs.size(), line.size() + 1));
      if (const size_t equals = line.find(" = "); equals != std::string_view::npos) {
        lines_[std::string(line.substr(0, equals))] = line.substr(equals + 3);
      }
    }
  }

  Shape parse(std::string_view text) const {
    Shape shape{.parts = list(text)};
    if (!text.empty()) {
      throw std::invalid_argument("cannot read the struct at '" + std::string(text) + "'");
    }
    return shape;
  }

 private:
  static bool take(std::string_view& text, std::string_view prefix) {
    const bool is_there = text.starts_with(prefix);
    text.remove_prefix(is_there ? prefix.size() : 0);
    return is_there;
  }

  // Up to the end or to a closing parenthesis.
  std::vector<Shape> list(std::string_view& text) const {
    std::vector<Shape> parts;
    while (!text.empty() && text[0] != ')' && text[0] != '}') {
      const bool is_other_arch = take(text, "arm:") ? !is_arm_ : take(text, "x86:") && is_arm_;
      size_t count = 1;
      if (const size_t x = text.find_first_not_of("0123456789"); x > 0 && text[x] == 'x') {
        count = std::stoul(std::string(text.substr(0, x)));
        text.remove_prefix(x + 1);
      }
      const Shape shape = part(text);
      parts.insert(parts.end(), is_other_arch ? 0 : count, shape);
      take(text, " ");
    }
    return parts;
  }

  Shape part(std::string_view& text) const {
    if (take(text, "?")) {
      return {.kind = Shape::Kind::option, .parts = {part(text)}};
    }
    if (take(text, "*")) {
      return {.kind = Shape::Kind::sequence, .parts = {part(text)}};
    }
    Shape shape;
    if (text.starts_with('(') || text.starts_with('{')) {
      shape.kind = text[0] == '(' ? Shape::Kind::tuple : Shape::Kind::choice;
      text.remove_prefix(1);
      shape.parts = list(text);
      text.remove_prefix(1);
    } else {
      shape = named(word(text));
    }
    if (take(text, ":")) {
      shape.role = word(text);
    }
    return shape;
  }

  static std::string word(std::string_view& text) {
    size_t length = 0;
    while (length < text.size() && (std::isalnum(text[length]) != 0 || text[length] == '_')) {
      ++length;
    }
    std::string word(text.substr(0, length));
    text.remove_prefix(length);
    return word;
  }

  Shape named(const std::string& name) const {
    static const std::map<std::string, size_t> numbers{
        {"u8", 1}, {"u16", 2}, {"u32", 4}, {"u64", 8}};
    if (const auto number = numbers.find(name); number != numbers.end()) {
      return {.kind = Shape::Kind::number, .bytes = number->second};
    }
    if (name == "bool" || name == "text") {
      return {.kind = name == "bool" ? Shape::Kind::boolean : Shape::Kind::text};
    }
    Shape shape = parse(lines_.at(name));
    if (shape.parts.size() == 1 && shape.parts[0].kind == Shape::Kind::choice) {
      shape = Shape(shape.parts[0]);
    }
    shape.name = name;
    return shape;
  }

  bool is_arm_;
  std::map<std::string, std::string_view> lines_;
};
