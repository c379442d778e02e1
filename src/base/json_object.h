// SPDX-License-Identifier: Apache-2.0
// A JSON object whose values keep the text that they had.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace meta {

// Longer or deeper texts are refused: a metadata.json of hypeman has some kilobytes and six levels.
inline constexpr size_t kMaxJsonBytes = size_t{16} << 20U;
inline constexpr int kMaxJsonDepth = 100;

// The members of one object in their order, each value as the text that stood in the source. So
// what somebody else wrote survives a change of another key to the letter: 1.0, 1e400, integers of
// any length, \u escapes. (A tree of numbers, as JSON libraries build, cannot keep these; that is
// why this room reads JSON itself.)
class JsonObject {
 public:
  struct Member {
    std::string key;      // decoded
    std::string raw_key;  // with quotes and escapes
    std::string raw;      // the value's text
  };

  JsonObject() = default;
  // Reads strict JSON (RFC 8259) whose outermost value is an object. Throws base::BadData
  // "cannot read 'NAME': why": empty, no JSON (with the offset), not an object, a byte order mark,
  // a NUL, not UTF-8, a key twice in one object (at any depth), too deep, longer than
  // kMaxJsonBytes.
  static JsonObject parse(std::string_view text, std::string_view name);

  const std::vector<Member>& members() const { return members_; }
  // The value's text; nullptr when there is no such key.
  const std::string* find(std::string_view key) const;
  // Replaces the value at its place, or appends. `raw` is JSON already.
  void set(std::string_view key, std::string_view raw);
  void erase(std::string_view key);

  // "a.b" names key b of the object at a; a key that holds the dots itself comes first.
  std::optional<std::string> find_path(std::string_view path) const;
  // Creates missing objects on the way. False when something on the way is no object.
  [[nodiscard]] bool set_path(std::string_view path, std::string_view raw) {
    return set_path(path, raw, 1);
  }

  // Takes away a key of find_path; an object that is empty then stays. False when there is none.
  bool erase_path(std::string_view path) { return erase_path(path, 1); }

  // Indented by two blanks a level, as Go's MarshalIndent does; without a final newline.
  std::string pretty(size_t level = 0) const;
  // On one line, without blanks between the tokens.
  std::string compact() const;

 private:
  // `level` is how deep the members stand, for the indentation of what is written anew.
  bool set_path(std::string_view path, std::string_view raw, size_t level);
  bool erase_path(std::string_view path, size_t level);

  std::vector<Member> members_;
};

// Walks over the members of an object without keeping them: the same checks as JsonObject::parse.
void scan_json_object(
    std::string_view text, std::string_view name,
    const std::function<void(std::string_view raw_key, std::string_view raw_value)>& visit);

// One value of any kind: throws base::BadData, as JsonObject::parse does, unless `text` is one.
void check_json(std::string_view text, std::string_view name);

// What these take is JSON that has been checked.
// The same value without blanks between its tokens.
std::string compact_json(std::string_view raw);
// The value of a string; nothing when `raw` is of another type. Half a surrogate pair is U+FFFD.
std::optional<std::string> json_text(std::string_view raw);
std::optional<bool> json_boolean(std::string_view raw);
// An integer in integer form ("1.0" is none) that fits.
std::optional<int64_t> json_integer(std::string_view raw);
// The texts of an array's elements; nothing when it is no array.
std::optional<std::vector<std::string>> json_elements(std::string_view raw);

}  // namespace meta
