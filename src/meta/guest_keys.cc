#include "meta/guest_keys.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "meta/json_object.h"

namespace meta {
namespace {

GuestKeys parse_keys(std::string_view text, const std::string& path) {
  GuestKeys keys;
  scan_json_object(text, path, [&](std::string_view raw_key, std::string_view raw) {
    const std::string key = *json_text(raw_key);  // it may be written with escapes
    const bool is_null = raw == "null";
    if (key == "IsTemplate") {
      const std::optional<bool> value = is_null ? false : json_boolean(raw);
      if (!value) {
        throw base::BadData("cannot use " + base::quoted(path) +
                            ": 'IsTemplate' is neither true nor false");
      }
      keys.is_template = *value;
    } else if (key == "ForkOfTemplate") {
      std::optional<std::string> value = is_null ? "" : json_text(raw);
      if (!value) {
        throw base::BadData("cannot use " + base::quoted(path) + ": 'ForkOfTemplate' is no string");
      }
      keys.fork_of_template = *std::move(value);
    }
  });
  return keys;
}

}  // namespace

std::optional<GuestKeys> read_guest_keys(const base::Store& store, std::string_view id) {
  const std::string path = store.metadata_path(id);
  std::string text;
  try {
    text = base::read_file(path, kMaxJsonBytes);
  } catch (const std::system_error&) {
    // Looked at after the failure: a guest that is trashed meanwhile is absent, not unreadable.
    struct stat st {};
    if (::lstat(store.guest_dir(id).c_str(), &st) != 0 && errno == ENOENT) {
      return std::nullopt;
    }
    throw;
  }
  return parse_keys(text, path);
}

}  // namespace meta
