// SPDX-License-Identifier: Apache-2.0
// Walks over one JSON text and checks it, telling where its parts stand.
#pragma once

#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace meta {

// The text is no JSON (or none that is accepted): what() says why and where.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A strict recursive descent over RFC 8259, at most kMaxJsonDepth deep. It builds nothing.
class JsonScanner {
 public:
  // Called for each member of the outermost object (`raw_key` with its quotes), or with an empty
  // `raw_key` for each element of the outermost array.
  using Visit = std::function<void(std::string_view raw_key, std::string_view raw_value)>;

  explicit JsonScanner(std::string_view text, Visit visit = nullptr)
      : text_(text), visit_(std::move(visit)) {}
  // One value and nothing else but blanks. Throws JsonError.
  void scan();

 private:
  std::string_view value(int depth);
  void object(int depth);
  void array(int depth);
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

// The characters of a string literal with its quotes, which must have been scanned.
std::string decode_json_string(std::string_view literal);

}  // namespace meta
