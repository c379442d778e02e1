// SPDX-License-Identifier: Apache-2.0
// Reads and writes snapfork.standby, and compares it with the guest's snapshot directory.
#include "meta/guest/snapshot_change.h"

#include <sys/stat.h>

#include <cstdint>
#include <optional>

#include "base/error.h"
#include "base/file_status.h"
#include "base/json_object.h"
#include "meta/guest/metadata_update.h"

namespace meta {
namespace {

constexpr std::string_view kKey = "snapfork.standby";
constexpr std::string_view kInode = "snapshot_inode";
constexpr std::string_view kSet = "set";

[[noreturn]] void refuse(std::string_view id) {
  throw base::BadData("cannot use 'snapfork.standby' in the metadata of " + base::quoted(id) +
                      ": it does not have the form that standby-publish writes");
}

bool is_snapshot_of(const store::Store& store, std::string_view id, uint64_t inode) {
  const std::string path = store.guest_dir(id) + "/snapshots/snapshot-latest";
  const std::optional<struct stat> st = base::try_lstat_path(path);
  return st && S_ISDIR(st->st_mode) && st->st_ino == inode;
}

}  // namespace

void record_snapshot_change(Metadata& metadata, const Metadata& after,
                            std::span<const std::string_view> keys, ino_t snapshot_inode) {
  base::JsonObject set;
  for (const std::string_view key : keys) {
    if (const std::optional<std::string> raw = after.json().find_path(key)) {
      set.set(key, *raw);
    }
  }
  base::JsonObject change;
  change.set(kInode, std::to_string(snapshot_inode));
  change.set(kSet, set.compact());
  static_cast<void>(metadata.json().set_path(kKey, change.compact()));
}

void resolve_snapshot_change(const store::Store& store, std::string_view id, Metadata& metadata) {
  const std::optional<std::string> raw = metadata.json().find_path(kKey);
  if (!raw) {
    return;
  }
  metadata.json().erase_path(kKey);
  const std::optional<base::JsonObject> change = base::JsonObject::read(*raw);
  const std::string* inode = change ? change->find(kInode) : nullptr;
  const std::string* values = change ? change->find(kSet) : nullptr;
  const std::optional<uint64_t> number =
      inode != nullptr ? base::json_unsigned(*inode) : std::nullopt;
  const std::optional<base::JsonObject> set =
      values != nullptr ? base::JsonObject::read(*values) : std::nullopt;
  if (!number || !set) {
    refuse(id);
  }
  if (!is_snapshot_of(store, id, *number)) {
    return;
  }
  for (const base::JsonObject::Member& member : set->members()) {
    static_cast<void>(metadata.json().set_path(member.key, member.raw));
  }
}

bool settle_metadata(const store::Store& store, const std::string& id, base::Effect effect) {
  const std::string path = store.metadata_path(id);
  const std::optional<std::string> text = read_metadata_text(store, id);
  if (!text || !Metadata::parse(*text, path).json().find_path(kKey)) {
    return false;
  }
  if (effect == base::Effect::real) {
    const MetadataUpdate update(store, id);
    Metadata::of_guest(store, id).write(path, base::Durable::yes);
  }
  return true;
}

}  // namespace meta
