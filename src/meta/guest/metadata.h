// SPDX-License-Identifier: Apache-2.0
// metadata.json of a guest: hypeman's keys and ours, read and replaced safely.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/atomic_file.h"
#include "base/json_object.h"
#include "meta/guest/guest.h"
#include "store/store.h"

namespace meta {

// The keys are those of hypeman's StoredMetadata (Go names, without a schema version); ours stand
// under "snapfork". Keys that nobody here knows stay as they are. A missing key and null mean the
// same, as they do to Go: the zero value.
class Metadata {
 public:
  Metadata() = default;
  // `path` is what messages call it. Throws base::BadData (JsonObject::parse).
  static Metadata parse(std::string_view text, const std::string& path);
  // The file `path`. Throws std::system_error when it cannot be read.
  static Metadata read(const std::string& path);
  // That of guest `id`, read by read_metadata_text. Throws as require_guest does.
  static Metadata of_guest(const store::Store& store, std::string_view id);

  // Each throws base::BadData when the value is of another type.
  std::string text(std::string_view key) const;
  bool flag(std::string_view key) const;
  std::optional<int64_t> number(std::string_view key) const;

  bool is_template() const { return flag("IsTemplate"); }
  // The id of the template that this is a fork of; empty for none.
  std::string fork_of_template() const { return text("ForkOfTemplate"); }

  void set_text(std::string_view key, std::string_view value);
  void set_flag(std::string_view key, bool value);
  void set_number(std::string_view key, int64_t value);
  // Puts the zero value there if the key is there: "" for texts, null for all else, which every Go
  // type takes.
  void clear(std::string_view key);

  JsonObject& json() { return json_; }
  const JsonObject& json() const { return json_; }

  // Replaces the file `path` (base::update_file_atomic; a new one has mode 0644). The caller holds
  // the guest's lock.
  void write(const std::string& path, base::Durable durable) const;

 private:
  JsonObject json_;
  std::string path_ = "metadata.json";
};

// The JSON type that hypeman's own struct has at `key`, so that what we write can be read there.
enum class KeyType { unknown, text, flag, number, optional_number, time, optional_time, object };
KeyType key_type(std::string_view key);
// Whether `raw`, a checked JSON value, may stand at `key`.
bool fits_key(std::string_view key, std::string_view raw);
// "a string", "true or false", ...: for messages.
const char* key_type_name(KeyType type);

// The time now as Go's time.Time reads it: RFC 3339 with nanoseconds, UTC.
std::string now_rfc3339();

}  // namespace meta
