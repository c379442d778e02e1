// SPDX-License-Identifier: Apache-2.0
// Checks JSON and reports the positions of its parts.
#pragma once

#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace base {

// The input is not JSON, or not JSON that the suite accepts: what() gives the reason and the
// offset.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Deeper input is refused. A metadata.json of hypeman has six levels.
inline constexpr int kMaxJsonDepth = 100;

// A strict recursive descent over RFC 8259: UTF-8 without a byte order mark, no key twice in one
// object, at most kMaxJsonDepth deep. It stores no values.
class JsonScanner {
 public:
  // Called for each member of the outermost object (`raw_key` with its quotes), or with an empty
  // `raw_key` for each element of the outermost array.
  using Visit = std::function<void(std::string_view raw_key, std::string_view raw_value)>;

  explicit JsonScanner(std::string_view text, Visit visit = nullptr)
      : text_(text), visit_(std::move(visit)) {}
  // Accepts one value and whitespace, nothing else. Throws JsonError.
  void scan();

 private:
  void check_text() const;
  std::string_view value(int depth);
  void object(int depth);
  void array(int depth);
  void refuse_duplicates(std::vector<std::string_view> keys);
  std::string_view string();
  void number();
  void word(std::string_view expected);
  void digits();
  void skip_blanks();
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c);
  void expect(char c, const char* what);
  [[noreturn]] void fail(const std::string& problem) const;

  std::string_view text_;
  Visit visit_;
  size_t at_ = 0;
};

// Returns the characters of a string literal with its quotes, which the scanner has checked.
std::string decode_json_string(std::string_view literal);

}  // namespace base
