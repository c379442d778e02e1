// SPDX-License-Identifier: Apache-2.0
// Writing JSON: one object a line. Reading it is the work of the rooms that read.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace base {

// `text` as a JSON string with its quotes. Control characters (base/utf8.h) are escaped, those
// above U+007F too, so that a record may be printed on a terminal. Bytes that are not UTF-8 become
// U+FFFD; where the exact bytes matter, as in paths, use JsonLine::path.
std::string json_string(std::string_view text);
// ["a","b"]
std::string json_array(std::span<const std::string> texts);

// Builds one object, keys in the order of the calls:
//   JsonLine("fork").text("id", id).number("pages", n).str()
// gives {"type":"fork","v":1,"id":...}. Keys are ours and are not escaped.
class JsonLine {
 public:
  // A nested object, without type and version.
  JsonLine() = default;
  // A record: starts with "type" and "v":1.
  explicit JsonLine(std::string_view type);

  JsonLine& text(std::string_view key, std::string_view value);
  // "key":"..." when `value` is UTF-8, else "key_b64" with its bytes in base64.
  JsonLine& path(std::string_view key, std::string_view value);
  JsonLine& number(std::string_view key, int64_t value);
  JsonLine& boolean(std::string_view key, bool value);
  JsonLine& null(std::string_view key);
  // `json` is a JSON value already.
  JsonLine& raw(std::string_view key, std::string_view json);

  std::string str() const { return "{" + body_ + "}"; }

 private:
  std::string body_;
};

}  // namespace base
