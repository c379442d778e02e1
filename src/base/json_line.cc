// SPDX-License-Identifier: Apache-2.0
// Writes JSON strings, arrays and records.
#include "base/json_line.h"

#include <array>
#include <cstdio>

#include "base/utf8.h"

namespace base {
namespace {

std::string base64(std::string_view data) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  for (size_t i = 0; i < data.size(); i += 3) {
    const auto byte = [&](size_t k) {
      return i + k < data.size() ? static_cast<unsigned char>(data[i + k]) : 0U;
    };
    const uint32_t bits = byte(0) << 16U | byte(1) << 8U | byte(2);
    result += kAlphabet[bits >> 18U & 63U];
    result += kAlphabet[bits >> 12U & 63U];
    result += i + 1 < data.size() ? kAlphabet[bits >> 6U & 63U] : '=';
    result += i + 2 < data.size() ? kAlphabet[bits & 63U] : '=';
  }
  return result;
}

}  // namespace

std::string json_string(std::string_view text) {
  std::string result = "\"";
  while (!text.empty()) {
    const size_t length = utf8_sequence(text);
    const auto byte = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      result += "\xef\xbf\xbd";
    } else if (byte == '"' || byte == '\\') {
      result += '\\';
      result += text[0];
    } else if (byte == '\n') {
      result += "\\n";
    } else if (byte == '\t') {
      result += "\\t";
    } else if (is_control(text.substr(0, length))) {
      std::array<char, 8> escape{};  // all of them are below U+10000
      static_cast<void>(std::snprintf(escape.data(), escape.size(), "\\u%04x",
                                      static_cast<unsigned>(code_point(text.substr(0, length)))));
      result += escape.data();
    } else {
      result += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return result + "\"";
}

std::string json_array(std::span<const std::string> texts) {
  JsonList list;
  for (const std::string& text : texts) {
    list.add(json_string(text));
  }
  return list.str();
}

JsonList& JsonList::add(std::string_view json) {
  body_ += body_.empty() ? "" : ",";
  body_ += json;
  return *this;
}

JsonLine::JsonLine(std::string_view type) {
  text("type", type).number("v", 1);
}

JsonLine& JsonLine::text(std::string_view key, std::string_view value) {
  return raw(key, json_string(value));
}

JsonLine& JsonLine::path(std::string_view key, std::string_view value) {
  if (is_utf8(value)) {
    return text(key, value);
  }
  return text(std::string(key) + "_b64", base64(value));
}

JsonLine& JsonLine::number(std::string_view key, int64_t value) {
  return raw(key, std::to_string(value));
}

JsonLine& JsonLine::boolean(std::string_view key, bool value) {
  return raw(key, value ? "true" : "false");
}

JsonLine& JsonLine::null(std::string_view key) {
  return raw(key, "null");
}

JsonLine& JsonLine::raw(std::string_view key, std::string_view json) {
  body_ += body_.empty() ? "\"" : ",\"";
  body_ += key;
  body_ += "\":";
  body_ += json;
  return *this;
}

}  // namespace base
