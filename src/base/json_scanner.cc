// SPDX-License-Identifier: Apache-2.0
// Checks JSON by recursive descent.
#include "base/json_scanner.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"

namespace base {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Returns the value of a hexadecimal digit, or -1.
int hex_value(char c) {
  if (is_digit(c)) {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Returns the value of the four digits of a \u escape, which the scanner has checked.
uint32_t escape_unit(std::string_view digits) {
  uint32_t unit = 0;
  for (const char c : digits) {
    unit = unit << 4U | static_cast<uint32_t>(hex_value(c));
  }
  return unit;
}

void append_utf8(std::string& text, uint32_t point) {
  const auto put = [&](uint32_t byte) { text += static_cast<char>(byte); };
  const auto put_tail = [&](unsigned shift) { put(0x80U | (point >> shift & 0x3fU)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xc0U | point >> 6U);
    put_tail(0);
  } else if (point < 0x10000) {
    put(0xe0U | point >> 12U);
    put_tail(6);
    put_tail(0);
  } else {
    put(0xf0U | point >> 18U);
    put_tail(12);
    put_tail(6);
    put_tail(0);
  }
}

bool has_escape(std::string_view literal) {
  return literal.find('\\') != std::string_view::npos;
}

constexpr uint32_t kReplacement = 0xfffd;
bool is_high_surrogate(uint32_t unit) {
  return unit >= 0xd800 && unit < 0xdc00;
}
bool is_low_surrogate(uint32_t unit) {
  return unit >= 0xdc00 && unit < 0xe000;
}

}  // namespace

void JsonScanner::scan() {
  check_text();
  skip_blanks();
  value(0);
  skip_blanks();
  if (at_ != text_.size()) {
    fail("unexpected data after the value");
  }
}

void JsonScanner::check_text() const {
  if (text_.empty()) {
    throw JsonError("it is empty");
  }
  if (text_.starts_with("\xef\xbb\xbf")) {
    throw JsonError("it starts with a byte order mark");
  }
  if (const size_t nul = text_.find('\0'); nul != std::string_view::npos) {
    throw JsonError("it contains a NUL character (at byte " + std::to_string(nul) + ")");
  }
  if (!is_utf8(text_)) {
    throw JsonError("it is not UTF-8");
  }
}

std::string_view JsonScanner::value(int depth) {
  const size_t start = at_;
  switch (peek()) {
    case '{':
      object(depth);
      break;
    case '[':
      array(depth);
      break;
    case '"':
      string();
      break;
    case 't':
      word("true");
      break;
    case 'f':
      word("false");
      break;
    case 'n':
      word("null");
      break;
    default:
      number();
  }
  return text_.substr(start, at_ - start);
}

void JsonScanner::object(int depth) {
  if (depth >= kMaxJsonDepth) {
    fail("it is nested more than " + std::to_string(kMaxJsonDepth) + " levels deep");
  }
  ++at_;
  skip_blanks();
  if (take('}')) {
    return;
  }
  std::vector<std::string_view> keys;
  do {
    skip_blanks();
    if (peek() != '"') {
      fail("missing key");
    }
    const std::string_view key = string();
    keys.push_back(key);
    skip_blanks();
    expect(':', "missing ':' after a key");
    skip_blanks();
    const std::string_view member = value(depth + 1);
    if (depth == 0 && visit_) {
      visit_(key, member);
    }
    skip_blanks();
  } while (take(','));
  expect('}', "missing ',' or '}'");
  refuse_duplicates(std::move(keys));
}

// Sorts them: with 1 MiB of keys from a hostile peer, twice as fast as a std::set.
void JsonScanner::refuse_duplicates(std::vector<std::string_view> keys) {
  std::vector<std::string> decoded;  // of keys with escapes; their views must stay valid
  decoded.reserve(static_cast<size_t>(std::ranges::count_if(keys, has_escape)));
  for (std::string_view& key : keys) {
    key = has_escape(key) ? decoded.emplace_back(decode_json_string(key))
                          : key.substr(1, key.size() - 2);
  }
  std::ranges::sort(keys);
  if (const auto same = std::ranges::adjacent_find(keys); same != keys.end()) {
    fail("duplicate key " + quoted(*same) + " in one object");
  }
}

void JsonScanner::array(int depth) {
  if (depth >= kMaxJsonDepth) {
    fail("it is nested more than " + std::to_string(kMaxJsonDepth) + " levels deep");
  }
  ++at_;
  skip_blanks();
  if (take(']')) {
    return;
  }
  do {
    skip_blanks();
    const std::string_view element = value(depth + 1);
    if (depth == 0 && visit_) {
      visit_({}, element);
    }
    skip_blanks();
  } while (take(','));
  expect(']', "missing ',' or ']'");
}

std::string_view JsonScanner::string() {
  const size_t start = at_++;
  for (;;) {
    if (at_ >= text_.size()) {
      fail("unterminated string");
    }
    const char c = text_[at_++];
    if (c == '"') {
      return text_.substr(start, at_ - start);
    }
    if (static_cast<unsigned char>(c) < 0x20) {
      --at_;
      fail("control character in a string");
    }
    if (c != '\\') {
      continue;
    }
    const char escape = peek();
    ++at_;
    if (escape == 'u') {
      for (int i = 0; i < 4; ++i, ++at_) {
        if (hex_value(peek()) < 0) {
          fail("a \\u escape needs four hexadecimal digits");
        }
      }
    } else if (std::string_view("\"\\/bfnrt").find(escape) == std::string_view::npos) {
      --at_;
      fail("unknown escape");
    }
  }
}

void JsonScanner::number() {
  const bool negative = take('-');
  if (!negative && !is_digit(peek())) {
    fail("missing value");
  }
  if (!take('0')) {
    digits();
  }
  if (take('.')) {
    digits();
  }
  if (take('e') || take('E')) {
    if (!take('+')) {
      take('-');
    }
    digits();
  }
}

void JsonScanner::word(std::string_view expected) {
  if (!text_.substr(at_).starts_with(expected)) {
    fail("missing value");
  }
  at_ += expected.size();
}

void JsonScanner::digits() {
  if (!is_digit(peek())) {
    fail("missing digit");
  }
  while (is_digit(peek())) {
    ++at_;
  }
}

void JsonScanner::skip_blanks() {
  while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') {
    ++at_;
  }
}

bool JsonScanner::take(char c) {
  if (at_ >= text_.size() || text_[at_] != c) {
    return false;
  }
  ++at_;
  return true;
}

void JsonScanner::expect(char c, const char* what) {
  if (!take(c)) {
    fail(what);
  }
}

void JsonScanner::fail(const std::string& problem) const {
  throw JsonError(problem + " (at byte " + std::to_string(at_) + ")");
}

std::string decode_json_string(std::string_view literal) {
  std::string text;
  literal = literal.substr(1, literal.size() - 2);
  while (!literal.empty()) {
    const size_t plain = std::min(literal.find('\\'), literal.size());
    text += literal.substr(0, plain);
    literal.remove_prefix(plain);
    if (literal.empty()) {
      break;
    }
    const char escape = literal[1];
    literal.remove_prefix(2);
    constexpr std::string_view kShort = "bfnrt";
    constexpr std::string_view kMeaning = "\b\f\n\r\t";
    if (escape != 'u') {
      const size_t known = kShort.find(escape);
      text += known == std::string_view::npos ? escape : kMeaning[known];
      continue;
    }
    uint32_t point = escape_unit(literal.substr(0, 4));
    literal.remove_prefix(4);
    if (is_high_surrogate(point) && literal.starts_with("\\u") &&
        is_low_surrogate(escape_unit(literal.substr(2, 4)))) {
      point = 0x10000 + ((point - 0xd800) << 10U) + (escape_unit(literal.substr(2, 4)) - 0xdc00);
      literal.remove_prefix(6);
    } else if (is_high_surrogate(point) || is_low_surrogate(point)) {
      point = kReplacement;
    }
    append_utf8(text, point);
  }
  return text;
}

}  // namespace base
