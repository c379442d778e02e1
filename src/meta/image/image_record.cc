// SPDX-License-Identifier: Apache-2.0
// Writes image.json and parses it strictly: each member has its type, and the runs are in order.
#include "meta/image/image_record.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "base/json_object.h"

namespace meta {
namespace {

constexpr uint64_t kVersion = 1;

// Returns the members of one object. Throws base::BadData for a missing member or a wrong type.
class Fields {
 public:
  Fields(std::string_view text, const std::string& path)
      : path_(path), object_(base::JsonObject::parse(text, path)) {}

  uint64_t number(std::string_view key) const { return number_in(required(key), key); }
  std::optional<uint64_t> optional_number(std::string_view key) const {
    const std::string& raw = required(key);
    return raw == "null" ? std::nullopt : std::optional(number_in(raw, key));
  }
  std::string text(std::string_view key) const {
    std::optional<std::string> value = base::json_text(required(key));
    if (!value) {
      refuse(key);
    }
    return *std::move(value);
  }
  std::vector<ZeroRun> runs(std::string_view key) const {
    const std::optional<std::vector<std::string_view>> elements =
        base::json_elements(required(key));
    if (!elements) {
      refuse(key);
    }
    std::vector<ZeroRun> runs;
    for (const std::string_view element : *elements) {
      const std::optional<std::vector<std::string_view>> pair = base::json_elements(element);
      if (!pair || pair->size() != 2) {
        refuse(key);
      }
      runs.push_back({.first = number_in((*pair)[0], key), .count = number_in((*pair)[1], key)});
    }
    return runs;
  }
  [[noreturn]] void refuse(std::string_view key) const {
    throw base::BadData("cannot use " + base::quoted(path_) + ": " + base::quoted(key) +
                        " is missing or invalid");
  }

 private:
  const std::string& required(std::string_view key) const {
    const std::string* raw = object_.find(key);
    if (raw == nullptr) {
      refuse(key);
    }
    return *raw;
  }
  uint64_t number_in(std::string_view raw, std::string_view key) const {
    const std::optional<int64_t> value = base::json_integer(raw);
    if (!value || *value < 0) {
      refuse(key);
    }
    return static_cast<uint64_t>(*value);
  }

  std::string path_;
  base::JsonObject object_;
};

}  // namespace

std::string image_record_path(const store::Store& store, std::string_view id) {
  return store.template_dir(id) + "/image.json";
}

std::string to_json(const ImageRecord& record) {
  base::JsonList runs;
  for (const ZeroRun& run : record.zero_runs) {
    runs.add(base::JsonList().add(std::to_string(run.first)).add(std::to_string(run.count)).str());
  }
  base::JsonObject object;
  object.set("v", std::to_string(kVersion));
  object.set("digest", base::json_string(record.digest));
  object.set("memory_bytes", std::to_string(record.memory_bytes));
  object.set("page_size", std::to_string(record.page_size));
  object.set("data_pages", std::to_string(record.data_pages));
  object.set("zero_pages", std::to_string(record.zero_pages));
  object.set("extents", record.extents ? std::to_string(*record.extents) : "null");
  object.set("zero_runs_from_pages", std::to_string(record.zero_runs_from_pages));
  object.set("zero_runs", runs.str());
  return object.pretty() + "\n";
}

ImageRecord parse_image_record(std::string_view text, const std::string& path) {
  const Fields fields(text, path);
  if (fields.number("v") != kVersion) {
    fields.refuse("v");
  }
  ImageRecord record;
  record.digest = fields.text("digest");
  record.memory_bytes = fields.number("memory_bytes");
  record.page_size = fields.number("page_size");
  record.data_pages = fields.number("data_pages");
  record.zero_pages = fields.number("zero_pages");
  record.extents = fields.optional_number("extents");
  record.zero_runs_from_pages = fields.number("zero_runs_from_pages");
  record.zero_runs = fields.runs("zero_runs");
  const uint64_t pages = record.memory_bytes / hot::kSmallPage + 1;  // the last page may be partial
  uint64_t end = 0;
  for (const ZeroRun& run : record.zero_runs) {
    if (run.count == 0 || run.count > pages || run.first > pages - run.count || run.first < end) {
      fields.refuse("zero_runs");
    }
    end = run.first + run.count;
  }
  return record;
}

std::optional<ImageRecord> read_image_record(const std::string& path) {
  const std::optional<base::Fd> fd = base::try_open(path, O_RDONLY);
  if (!fd) {
    return std::nullopt;
  }
  return parse_image_record(base::read_all(fd->get(), base::kMaxJsonBytes, path), path);
}

}  // namespace meta
