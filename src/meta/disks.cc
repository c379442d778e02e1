#include "meta/disks.h"

#include "base/error.h"
#include "base/json_line.h"

namespace meta {
namespace {

constexpr std::string_view kKey = "snapfork.disks";

[[noreturn]] void refuse(const std::string& why) {
  throw base::BadData("cannot use 'snapfork.disks' of the metadata: " + why);
}

std::string member_text(const JsonObject& object, std::string_view key) {
  const std::string* raw = object.find(key);
  std::optional<std::string> value = raw != nullptr ? json_text(*raw) : std::nullopt;
  if (!value || value->empty()) {
    refuse(base::quoted(key) + " is missing or no string");
  }
  return *std::move(value);
}

}  // namespace

std::vector<Disk> disks_of(const Metadata& metadata) {
  std::vector<Disk> disks;
  const std::optional<std::string> raw = metadata.json().find_path(kKey);
  if (!raw || *raw == "null") {
    return disks;
  }
  const std::optional<std::vector<std::string>> elements = json_elements(*raw);
  if (!elements) {
    refuse("it is no array");
  }
  for (const std::string& element : *elements) {
    const JsonObject object = JsonObject::parse(element, "snapfork.disks");
    const std::string* bytes = object.find("bytes");
    Disk disk{.file = member_text(object, "file"),
              .embedded_path = member_text(object, "embedded_path"),
              .bytes = bytes != nullptr ? json_integer(*bytes) : std::nullopt};
    if (disk.file.find('/') != std::string::npos || disk.file == "." || disk.file == "..") {
      refuse("the file " + base::quoted(disk.file) + " is no plain name");
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
    list += list.size() > 1 ? "," : "";
    list += line.str();
  }
  static_cast<void>(metadata.json().set_path(kKey, list + "]"));
}

}  // namespace meta
