// SPDX-License-Identifier: Apache-2.0
// Writes JSON: one object per line.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace base {

// Returns `text` as a JSON string with its quotes. Control characters (base/utf8.h) are escaped,
// also those above U+007F, so that a record may be printed on a terminal. Bytes that are not UTF-8
// become U+FFFD. If the exact bytes matter, as in paths, use JsonLine::path.
std::string json_string(std::string_view text);
// Returns ["a","b"]. For other elements: JsonList.
std::string json_array(std::span<const std::string> texts);

// Builds one object with the keys in the order of the calls: JsonLine("fork").text("id",
// id).number("pages", n).str() returns {"type":"fork","v":1,"id":...}. Keys are constants of the
// suite and are not escaped.
class JsonLine {
 public:
  // A nested object, without type and version.
  JsonLine() = default;
  // A record: starts with "type" and "v":1.
  explicit JsonLine(std::string_view type);

  JsonLine& text(std::string_view key, std::string_view value);
  // Adds "key":"..." if `value` is UTF-8, else "key_b64" with its bytes in base64.
  JsonLine& path(std::string_view key, std::string_view value);
  JsonLine& number(std::string_view key, int64_t value);
  JsonLine& boolean(std::string_view key, bool value);
  JsonLine& null(std::string_view key);
  // `json` must already be a JSON value.
  JsonLine& raw(std::string_view key, std::string_view json);

  std::string str() const { return "{" + body_ + "}"; }

 private:
  std::string body_;
};

// Builds one array: JsonList().add("1").add("[]").str() returns [1,[]].
class JsonList {
 public:
  // `json` must already be a JSON value.
  JsonList& add(std::string_view json);

  std::string str() const { return "[" + body_ + "]"; }

 private:
  std::string body_;
};

}  // namespace base
