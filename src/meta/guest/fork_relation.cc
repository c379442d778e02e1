// SPDX-License-Identifier: Apache-2.0
// Scans metadata.json for Id, IsTemplate and ForkOfTemplate without keeping its other members.
#include "meta/guest/fork_relation.h"

#include <utility>

#include "base/error.h"
#include "base/json_object.h"
#include "meta/guest/guest.h"

namespace meta {
namespace {

// The string `raw`, or "" for null. Throws base::BadData for any other type.
std::string text_of(std::string_view raw, std::string_view key, const std::string& path) {
  std::optional<std::string> value = raw == "null" ? "" : base::json_text(raw);
  if (!value) {
    throw base::BadData("cannot use " + base::quoted(path) + ": " + base::quoted(key) +
                        " is not a string");
  }
  return *std::move(value);
}

}  // namespace

ForkRelation parse_fork_relation(std::string_view text, const std::string& path) {
  ForkRelation keys;
  base::scan_json_object(text, path, [&](std::string_view raw_key, std::string_view raw) {
    const std::string key = *base::json_text(raw_key);  // the key may contain escapes
    if (key == "IsTemplate") {
      const std::optional<bool> value = raw == "null" ? false : base::json_boolean(raw);
      if (!value) {
        throw base::BadData("cannot use " + base::quoted(path) +
                            ": 'IsTemplate' is neither true nor false");
      }
      keys.is_template = *value;
    } else if (key == "ForkOfTemplate") {
      keys.fork_of_template = text_of(raw, key, path);
    } else if (key == "Id") {
      keys.id = text_of(raw, key, path);
    }
  });
  return keys;
}

std::optional<ForkRelation> read_fork_relation(const store::Store& store, std::string_view id) {
  const std::optional<std::string> text = read_metadata_text(store, id);
  if (!text) {
    return std::nullopt;
  }
  ForkRelation keys = parse_fork_relation(*text, store.metadata_path(id));
  check_recorded_id(store, id, keys.id);
  return keys;
}

}  // namespace meta
