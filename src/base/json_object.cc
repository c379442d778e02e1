// SPDX-License-Identifier: Apache-2.0
// Reads and changes JSON objects; keeps the source of each value.
#include "base/json_object.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/json_line.h"
#include "base/number.h"

namespace base {
namespace {

[[noreturn]] void refuse(std::string_view name, const std::string& why) {
  throw BadData("cannot read " + quoted(name) + ": " + why);
}

// Calls `scan` for a file of `text`, with errors that name it.
template <typename Scan>
auto scan_named(std::string_view text, std::string_view name, const Scan& scan) {
  if (text.size() > kMaxJsonBytes) {
    refuse(name, "it is longer than " + std::to_string(kMaxJsonBytes) + " bytes");
  }
  try {
    return scan();
  } catch (const JsonError& error) {
    refuse(name, std::string("not valid JSON: ") + error.what());
  }
}

bool is_object(std::string_view raw) {
  return raw.starts_with('{');
}

// Returns whether `bracket` is the first character of the value.
bool starts_with(std::string_view text, char bracket) {
  const size_t start = text.find_first_not_of(" \t\n\r");
  return start != std::string_view::npos && text[start] == bracket;
}

// Scans a value; returns whether it is an object. Visits only the members of an object.
bool scan_object(std::string_view text, const JsonScanner::Visit& visit) {
  const bool opens = starts_with(text, '{');
  JsonScanner(text, opens ? visit : nullptr).scan();
  return opens;
}

// Returns the object in a value that has been checked.
JsonObject nested(std::string_view raw) {
  return JsonObject::parse(raw, "a nested object");
}

std::string indent(size_t level) {
  std::string spaces(2 * level, ' ');
  return spaces;
}

}  // namespace

std::optional<JsonObject> JsonObject::read(std::string_view text) {
  JsonObject object;
  const bool is_object = scan_object(text, [&](std::string_view key, std::string_view value) {
    object.members_.push_back(
        {.key = decode_json_string(key), .raw_key = std::string(key), .raw = std::string(value)});
  });
  return is_object ? std::optional(std::move(object)) : std::nullopt;
}

JsonObject JsonObject::parse(std::string_view text, std::string_view name) {
  std::optional<JsonObject> object = scan_named(text, name, [&] { return read(text); });
  if (!object) {
    refuse(name, "not a JSON object");
  }
  return std::move(*object);
}

void scan_json_object(std::string_view text, std::string_view name,
                      const JsonScanner::Visit& visit) {
  if (!scan_named(text, name, [&] { return scan_object(text, visit); })) {
    refuse(name, "not a JSON object");
  }
}

const std::string* JsonObject::find(std::string_view key) const {
  const auto found = std::ranges::find(members_, key, &Member::key);
  return found == members_.end() ? nullptr : &found->raw;
}

void JsonObject::set(std::string_view key, std::string_view raw) {
  const auto found = std::ranges::find(members_, key, &Member::key);
  if (found != members_.end()) {
    found->raw = raw;
    return;
  }
  members_.push_back(
      {.key = std::string(key), .raw_key = json_string(key), .raw = std::string(raw)});
}

void JsonObject::erase(std::string_view key) {
  std::erase_if(members_, [&](const Member& member) { return member.key == key; });
}

std::optional<std::string> JsonObject::find_path(std::string_view path) const {
  if (const std::string* whole = find(path)) {
    return *whole;
  }
  const size_t dot = path.find('.');
  const std::string* outer = dot == std::string_view::npos ? nullptr : find(path.substr(0, dot));
  if (outer == nullptr || !is_object(*outer)) {
    return std::nullopt;
  }
  return nested(*outer).find_path(path.substr(dot + 1));
}

bool JsonObject::set_path(std::string_view path, std::string_view raw, size_t level) {
  const size_t dot = path.find('.');
  if (dot == std::string_view::npos || find(path) != nullptr) {
    set(path, raw);
    return true;
  }
  const std::string_view key = path.substr(0, dot);
  const std::string* outer = find(key);
  if (outer != nullptr && !is_object(*outer)) {
    return false;
  }
  JsonObject inner = outer != nullptr ? nested(*outer) : JsonObject();
  if (!inner.set_path(path.substr(dot + 1), raw, level + 1)) {
    return false;
  }
  set(key, inner.pretty(level));
  return true;
}

bool JsonObject::erase_path(std::string_view path, size_t level) {
  if (find(path) != nullptr) {
    erase(path);
    return true;
  }
  const size_t dot = path.find('.');
  const std::string* outer = dot == std::string_view::npos ? nullptr : find(path.substr(0, dot));
  if (outer == nullptr || !is_object(*outer)) {
    return false;
  }
  JsonObject inner = nested(*outer);
  const bool erased = inner.erase_path(path.substr(dot + 1), level + 1);
  if (erased) {
    set(path.substr(0, dot), inner.pretty(level));
  }
  return erased;
}

std::string JsonObject::pretty(size_t level) const {
  if (members_.empty()) {
    return "{}";
  }
  std::string text = "{";
  for (const Member& member : members_) {
    text += text.size() > 1 ? ",\n" : "\n";
    text += indent(level + 1) + member.raw_key + ": " + member.raw;
  }
  return text + "\n" + indent(level) + "}";
}

std::string JsonObject::compact() const {
  std::string text = "{";
  for (const Member& member : members_) {
    text += text.size() > 1 ? "," : "";
    text += member.raw_key + ":" + compact_json(member.raw);
  }
  return text + "}";
}

void check_json(std::string_view text, std::string_view name) {
  scan_named(text, name, [&] { JsonScanner(text).scan(); });
}

std::optional<std::vector<std::string_view>> json_elements(std::string_view text) {
  if (!starts_with(text, '[')) {
    return std::nullopt;
  }
  std::vector<std::string_view> elements;
  JsonScanner(text, [&](std::string_view /*key*/, std::string_view value) {
    elements.push_back(value);
  }).scan();
  return elements;
}

std::string compact_json(std::string_view raw) {
  std::string text;
  text.reserve(raw.size());
  bool in_string = false;
  for (size_t i = 0; i < raw.size(); ++i) {
    const char c = raw[i];
    if (in_string) {
      text += c;
      if (c == '\\') {
        text += raw[++i];
      }
      in_string = c != '"';
    } else if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
      text += c;
      in_string = c == '"';
    }
  }
  return text;
}

std::optional<std::string> json_text(std::string_view raw) {
  return raw.starts_with('"') ? std::optional(decode_json_string(raw)) : std::nullopt;
}

std::optional<bool> json_boolean(std::string_view raw) {
  return raw == "true" || raw == "false" ? std::optional(raw == "true") : std::nullopt;
}

std::optional<int64_t> json_integer(std::string_view raw) {
  return parse_number<int64_t>(raw);
}

std::optional<uint64_t> json_unsigned(std::string_view raw) {
  return parse_number<uint64_t>(raw);
}

}  // namespace base
