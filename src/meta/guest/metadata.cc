// SPDX-License-Identifier: Apache-2.0
// Reads, checks and replaces metadata.json; holds the types of the keys that hypeman knows.
#include "meta/guest/metadata.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "base/time_text.h"
#include "meta/guest/snapshot_change.h"

namespace meta {
namespace {

constexpr mode_t kMode = 0644;

struct KnownKey {
  std::string_view name;
  KeyType type;
};
// From hypeman's lib/instances/types.go, in the same order, and the template keys of its pull
// request 229.
constexpr std::array kKnownKeys{
    KnownKey{"Id", KeyType::text},
    KnownKey{"Name", KeyType::text},
    KnownKey{"Image", KeyType::text},
    KnownKey{"Size", KeyType::number},
    KnownKey{"HotplugSize", KeyType::number},
    KnownKey{"OverlaySize", KeyType::number},
    KnownKey{"Vcpus", KeyType::number},
    KnownKey{"Env", KeyType::object},
    KnownKey{"NetworkEnabled", KeyType::flag},
    KnownKey{"IP", KeyType::text},
    KnownKey{"MAC", KeyType::text},
    KnownKey{"CreatedAt", KeyType::time},
    KnownKey{"StartedAt", KeyType::optional_time},
    KnownKey{"StoppedAt", KeyType::optional_time},
    KnownKey{"ProgramStartedAt", KeyType::optional_time},
    KnownKey{"GuestAgentReadyAt", KeyType::optional_time},
    KnownKey{"KernelVersion", KeyType::text},
    KnownKey{"HypervisorType", KeyType::text},
    KnownKey{"HypervisorVersion", KeyType::text},
    KnownKey{"HypervisorPID", KeyType::optional_number},
    KnownKey{"HypervisorStartTime", KeyType::optional_number},
    KnownKey{"SocketPath", KeyType::text},
    KnownKey{"DataDir", KeyType::text},
    KnownKey{"VsockCID", KeyType::number},
    KnownKey{"VsockSocket", KeyType::text},
    KnownKey{"ExitCode", KeyType::optional_number},
    KnownKey{"ExitMessage", KeyType::text},
    KnownKey{"IsTemplate", KeyType::flag},
    KnownKey{"ForkOfTemplate", KeyType::text},
    KnownKey{"HotPagesPath", KeyType::text},
    KnownKey{"FirecrackerSnapshotCacheKey", KeyType::text},
    KnownKey{"FirecrackerUseUFFDOnNextRestore", KeyType::flag},
    KnownKey{"FirecrackerUFFDSessionID", KeyType::text},
    KnownKey{"FirecrackerUFFDPagerVersion", KeyType::text},
    KnownKey{"snapfork", KeyType::object},
};

bool is_null(std::string_view raw) {
  return raw == "null";
}

// Whether `raw` has the form of RFC 3339 that Go's time.Time accepts:
// 2006-01-02T15:04:05[.fraction](Z|+01:00).
bool is_time(std::string_view raw) {
  const std::optional<std::string> value = base::json_text(raw);
  constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:dd";
  if (!value || value->size() <= kForm.size()) {
    return false;
  }
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  for (size_t i = 0; i < kForm.size(); ++i) {
    if (kForm[i] == 'd' ? !is_digit((*value)[i]) : (*value)[i] != kForm[i]) {
      return false;
    }
  }
  std::string_view zone = std::string_view(*value).substr(kForm.size());
  if (zone.starts_with('.')) {
    zone.remove_prefix(std::min(zone.find_first_not_of("0123456789", 1), zone.size()));
  }
  return zone == "Z" || (zone.size() == 6 && (zone[0] == '+' || zone[0] == '-') && zone[3] == ':');
}

}  // namespace

Metadata Metadata::parse(std::string_view text, const std::string& path) {
  Metadata metadata;
  metadata.json_ = base::JsonObject::parse(text, path);
  metadata.path_ = path;
  return metadata;
}

Metadata Metadata::read(const std::string& path) {
  return parse(base::read_file(path, base::kMaxJsonBytes), path);
}

Metadata Metadata::of_guest(const store::Store& store, std::string_view id) {
  const std::optional<std::string> text = read_metadata_text(store, id);
  if (!text) {
    throw_no_guest(store, id);
  }
  Metadata metadata = parse(*text, store.metadata_path(id));
  check_recorded_id(store, id, metadata.text("Id"));
  resolve_snapshot_change(store, id, metadata);
  return metadata;
}

std::string Metadata::text(std::string_view key) const {
  const std::string* raw = json_.find(key);
  if (raw == nullptr || is_null(*raw)) {
    return "";
  }
  std::optional<std::string> value = base::json_text(*raw);
  if (!value) {
    throw base::BadData("cannot use " + base::quoted(path_) + ": " + base::quoted(key) +
                        " is not a string");
  }
  return *std::move(value);
}

bool Metadata::flag(std::string_view key) const {
  const std::string* raw = json_.find(key);
  if (raw == nullptr || is_null(*raw)) {
    return false;
  }
  const std::optional<bool> value = base::json_boolean(*raw);
  if (!value) {
    throw base::BadData("cannot use " + base::quoted(path_) + ": " + base::quoted(key) +
                        " is neither true nor false");
  }
  return *value;
}

std::optional<int64_t> Metadata::number(std::string_view key) const {
  const std::string* raw = json_.find(key);
  if (raw == nullptr || is_null(*raw)) {
    return std::nullopt;
  }
  const std::optional<int64_t> value = base::json_integer(*raw);
  if (!value) {
    throw base::BadData("cannot use " + base::quoted(path_) + ": " + base::quoted(key) +
                        " is not a whole number");
  }
  return value;
}

void Metadata::set_text(std::string_view key, std::string_view value) {
  json_.set(key, base::json_string(value));
}

void Metadata::set_flag(std::string_view key, bool value) {
  json_.set(key, value ? "true" : "false");
}

void Metadata::set_number(std::string_view key, int64_t value) {
  json_.set(key, std::to_string(value));
}

void Metadata::clear(std::string_view key) {
  if (json_.find(key) != nullptr) {
    json_.set(key, key_type(key) == KeyType::text ? "\"\"" : "null");
  }
}

void Metadata::write(const std::string& path, base::Durable durable) const {
  base::update_file_atomic(path, json_.pretty() + "\n", kMode, durable);
}

KeyType key_type(std::string_view key) {
  const auto* const known = std::ranges::find(kKnownKeys, key, &KnownKey::name);
  return known == kKnownKeys.end() ? KeyType::unknown : known->type;
}

bool fits_key(std::string_view key, std::string_view raw) {
  if (is_null(raw)) {
    return true;
  }
  switch (key_type(key)) {
    case KeyType::text:
      return base::json_text(raw).has_value();
    case KeyType::flag:
      return base::json_boolean(raw).has_value();
    case KeyType::number:
    case KeyType::optional_number:
      return base::json_integer(raw).has_value();
    case KeyType::time:
    case KeyType::optional_time:
      return is_time(raw);
    case KeyType::object:
      return raw.starts_with('{');
    case KeyType::unknown:
      break;
  }
  return true;
}

const char* key_type_name(KeyType type) {
  switch (type) {
    case KeyType::text:
      return "a string";
    case KeyType::flag:
      return "true or false";
    case KeyType::number:
    case KeyType::optional_number:
      return "a whole number";
    case KeyType::time:
    case KeyType::optional_time:
      return "a time such as \"2006-01-02T15:04:05Z\"";
    case KeyType::object:
      return "an object";
    case KeyType::unknown:
      break;
  }
  return "a value";
}

std::string now_rfc3339() {
  constexpr int kNanoseconds = 9;
  return base::rfc3339(base::wall_clock(), kNanoseconds);
}

}  // namespace meta
