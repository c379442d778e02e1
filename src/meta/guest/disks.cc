// SPDX-License-Identifier: Apache-2.0
// Reads and writes snapfork.disks, and compares the recorded sizes and times with the files.
#include "meta/guest/disks.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/json_line.h"

namespace meta {
namespace {

constexpr std::string_view kKey = "snapfork.disks";

[[noreturn]] void refuse(const std::string& why) {
  throw base::BadData("cannot use 'snapfork.disks' in the metadata: " + why);
}

std::string member_text(const base::JsonObject& object, std::string_view key) {
  const std::string* raw = object.find(key);
  std::optional<std::string> value = raw != nullptr ? base::json_text(*raw) : std::nullopt;
  if (!value || value->empty()) {
    refuse(base::quoted(key) + " is missing or not a string");
  }
  return *std::move(value);
}

int64_t mtime_of(const struct stat& st) {
  constexpr int64_t kSecond = 1'000'000'000;
  return st.st_mtim.tv_sec * kSecond + st.st_mtim.tv_nsec;
}

}  // namespace

bool is_reserved_name(std::string_view name) {
  constexpr std::array<std::string_view, 4> kDirectories{"snapshots", "template", "logs", "uffd"};
  // Damaged metadata get names that start with that of the metadata.
  return name.starts_with("metadata.json") ||
         std::ranges::find(kDirectories, name) != kDirectories.end();
}

std::vector<Disk> disks_of(const Metadata& metadata) {
  std::vector<Disk> disks;
  const std::optional<std::string> raw = metadata.json().find_path(kKey);
  if (!raw || *raw == "null") {
    return disks;
  }
  const std::optional<std::vector<std::string_view>> elements = base::json_elements(*raw);
  if (!elements) {
    refuse("it is not an array");
  }
  for (const std::string_view element : *elements) {
    const base::JsonObject object = base::JsonObject::parse(element, "snapfork.disks");
    const std::string* bytes = object.find("bytes");
    const std::string* mtime = object.find("mtime_ns");
    Disk disk{.file = member_text(object, "file"),
              .embedded_path = member_text(object, "embedded_path"),
              .bytes = bytes != nullptr ? base::json_integer(*bytes) : std::nullopt,
              .mtime_ns = mtime != nullptr ? base::json_integer(*mtime) : std::nullopt};
    if (disk.file.find('/') != std::string::npos || disk.file == "." || disk.file == "..") {
      refuse("the file " + base::quoted(disk.file) + " is not a plain file name");
    }
    disks.push_back(std::move(disk));
  }
  return disks;
}

void set_disks(Metadata& metadata, const std::vector<Disk>& disks) {
  std::string list = "[";
  for (const Disk& disk : disks) {
    base::JsonLine line;
    line.text("file", disk.file).text("embedded_path", disk.embedded_path);
    if (disk.bytes) {
      line.number("bytes", *disk.bytes);
    }
    if (disk.mtime_ns) {
      line.number("mtime_ns", *disk.mtime_ns);
    }
    list += list.size() > 1 ? "," : "";
    list += line.str();
  }
  static_cast<void>(metadata.json().set_path(kKey, list + "]"));
}

void record_disks(Metadata& metadata, const std::string& dir) {
  std::vector<Disk> disks = disks_of(metadata);
  if (disks.empty()) {
    return;
  }
  for (Disk& disk : disks) {
    struct stat st {};
    const bool exists = ::stat((dir + "/" + disk.file).c_str(), &st) == 0;
    disk.bytes = exists ? std::optional<int64_t>(st.st_size) : std::nullopt;
    disk.mtime_ns = exists ? std::optional(mtime_of(st)) : std::nullopt;
  }
  set_disks(metadata, disks);
}

std::vector<std::string> changed_disks(const Metadata& metadata, const std::string& dir) {
  std::vector<std::string> changes;
  for (const Disk& disk : disks_of(metadata)) {
    struct stat st {};
    const std::string name = "its disk " + base::quoted(disk.file);
    if (!disk.mtime_ns) {
      continue;
    }
    if (::stat((dir + "/" + disk.file).c_str(), &st) != 0) {
      changes.push_back(name + " is missing");
    } else if (!S_ISREG(st.st_mode)) {
      changes.push_back(name + " is not a regular file");
    } else if (disk.bytes && *disk.bytes != st.st_size) {
      changes.push_back(name + " has " + std::to_string(st.st_size) + " bytes, but it had " +
                        std::to_string(*disk.bytes) + " when the snapshot was published");
    } else if (*disk.mtime_ns != mtime_of(st)) {
      changes.push_back(name + " was written after the snapshot was published");
    }
  }
  return changes;
}

}  // namespace meta
