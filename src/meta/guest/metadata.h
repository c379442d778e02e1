// SPDX-License-Identifier: Apache-2.0
// Reads and replaces metadata.json of a guest, with the keys of hypeman and of snapfork.
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

// The keys are those of hypeman's StoredMetadata (Go names, without a schema version). snapfork's
// own keys are members of "snapfork". Unknown keys are kept unchanged. A missing key and null both
// mean the zero value, as in Go.
class Metadata {
 public:
  Metadata() = default;
  // `path` is its name in messages. Throws base::BadData (JsonObject::parse).
  static Metadata parse(std::string_view text, const std::string& path);
  // Reads the file `path`. Throws std::system_error if it cannot be read.
  static Metadata read(const std::string& path);
  // Reads the metadata of the guest `id` with read_metadata_text, and resolves a change that an
  // interrupted standby left (snapshot_change.h). Throws as require_guest does.
  static Metadata of_guest(const store::Store& store, std::string_view id);

  // Each throws base::BadData if the value has another type.
  std::string text(std::string_view key) const;
  bool flag(std::string_view key) const;
  std::optional<int64_t> number(std::string_view key) const;

  bool is_template() const { return flag("IsTemplate"); }
  // The id of the template that this guest is a fork of; empty if it is not a fork.
  std::string fork_of_template() const { return text("ForkOfTemplate"); }

  void set_text(std::string_view key, std::string_view value);
  void set_flag(std::string_view key, bool value);
  void set_number(std::string_view key, int64_t value);
  // Sets an existing key to its zero value: "" for a string, null for all other types. Every Go
  // type accepts null.
  void clear(std::string_view key);

  base::JsonObject& json() { return json_; }
  const base::JsonObject& json() const { return json_; }

  // Replaces the file `path` (base::update_file_atomic). A new file has mode 0644. The caller holds
  // the guest's lock.
  void write(const std::string& path, base::Durable durable) const;

 private:
  base::JsonObject json_;
  std::string path_ = "metadata.json";
};

// The JSON type of `key` in hypeman's struct. A value of another type would make the file
// unreadable for hypeman.
enum class KeyType { unknown, text, flag, number, optional_number, time, optional_time, object };
KeyType key_type(std::string_view key);
// Whether `raw`, a valid JSON value, has the type of `key`.
bool fits_key(std::string_view key, std::string_view raw);
// For messages: "a string", "true or false", and so on.
const char* key_type_name(KeyType type);

// The current time in the form that Go's time.Time reads: RFC 3339 with nanoseconds, UTC.
std::string now_rfc3339();

}  // namespace meta
