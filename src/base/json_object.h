// SPDX-License-Identifier: Apache-2.0
// A JSON object that keeps the source of each value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_scanner.h"

namespace base {

// The most that a file may have. A metadata.json of hypeman has a few kilobytes.
inline constexpr size_t kMaxJsonBytes = size_t{16} << 20U;

// The members of one object in their order, each with its value exactly as in the source. A change
// of one key therefore keeps every other value to the letter: 1.0, 1e400, integers of any length,
// \u escapes. A tree of numbers, as JSON libraries build it, cannot keep these; this is why the
// suite has its own JSON reader.
class JsonObject {
 public:
  struct Member {
    std::string key;      // decoded
    std::string raw_key;  // with quotes and escapes
    std::string raw;      // the source of the value
  };

  JsonObject() = default;
  // Reads strict JSON (RFC 8259) whose outermost value is an object. Throws base::BadData "cannot
  // read 'NAME': REASON": empty, not JSON (with the offset), not an object, a byte order mark, a
  // NUL, not UTF-8, a duplicate key in one object (at any depth), too deep, longer than
  // kMaxJsonBytes.
  static JsonObject parse(std::string_view text, std::string_view name);
  // The same without a limit of the length and without a name: returns nothing for a value that is
  // not an object, and throws JsonError for everything else.
  static std::optional<JsonObject> read(std::string_view text);

  const std::vector<Member>& members() const { return members_; }
  // Returns the source of the value; nullptr if the key does not exist.
  const std::string* find(std::string_view key) const;
  // Replaces the value in its position, or appends the key. `raw` must be JSON.
  void set(std::string_view key, std::string_view raw);
  void erase(std::string_view key);

  // "a.b" names key b of the object at a. A key that contains the dots itself takes precedence.
  std::optional<std::string> find_path(std::string_view path) const;
  // Creates missing objects on the path. Returns false if an existing value on the path is not an
  // object.
  [[nodiscard]] bool set_path(std::string_view path, std::string_view raw) {
    return set_path(path, raw, 1);
  }

  // Removes the key that find_path finds; an object that becomes empty stays. Returns false if
  // the key does not exist.
  bool erase_path(std::string_view path) { return erase_path(path, 1); }

  // Indented by two spaces per level, as Go's MarshalIndent does; without a final newline.
  std::string pretty(size_t level = 0) const;
  // On one line, without spaces between the tokens.
  std::string compact() const;

 private:
  // `level` is the depth of the members, for the indentation of new values.
  bool set_path(std::string_view path, std::string_view raw, size_t level);
  bool erase_path(std::string_view path, size_t level);

  std::vector<Member> members_;
};

// Calls `visit` for the members of an object without storing them. Checks as JsonObject::parse
// does.
void scan_json_object(std::string_view text, std::string_view name,
                      const JsonScanner::Visit& visit);

// Throws base::BadData, as JsonObject::parse does, unless `text` is one JSON value of any kind.
void check_json(std::string_view text, std::string_view name);

// Returns the source of each element of an array, a part of `text`; nothing if `text` does not
// start as an array. Checks an array as JsonObject::read does.
std::optional<std::vector<std::string_view>> json_elements(std::string_view text);

// The functions below take JSON that has been checked.
//
// Returns the same value without spaces between its tokens.
std::string compact_json(std::string_view raw);
// Returns the contents of a string; nothing if `raw` has another type. Half a surrogate pair
// becomes U+FFFD.
std::optional<std::string> json_text(std::string_view raw);
std::optional<bool> json_boolean(std::string_view raw);
// Returns an integer in integer form ("1.0" is not one) that fits into the type.
std::optional<int64_t> json_integer(std::string_view raw);
std::optional<uint64_t> json_unsigned(std::string_view raw);

}  // namespace base
