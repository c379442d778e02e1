// SPDX-License-Identifier: Apache-2.0
// Reads and writes the JSON documents of an OCI image layout.
#include "oci/manifest.h"

#include "base/error.h"
#include "base/json_line.h"
#include "base/json_object.h"
#include "oci/chunk_index.h"
#include "oci/format.h"

namespace oci {
namespace {

constexpr std::string_view kTagKey = "org.opencontainers.image.ref.name";

[[noreturn]] void refuse(std::string_view name, const std::string& reason) {
  throw base::BadData("cannot read " + base::quoted(name) + ": " + reason);
}

// The string at `key`; empty if it does not exist.
std::string text_at(const base::JsonObject& object, std::string_view key, std::string_view name) {
  const std::string* const raw = object.find(key);
  if (raw == nullptr) {
    return "";
  }
  std::optional<std::string> text = base::json_text(*raw);
  if (!text) {
    refuse(name, base::quoted(key) + " is not a string");
  }
  return *std::move(text);
}

base::JsonObject object_of(std::string_view raw, std::string_view what, std::string_view name) {
  std::optional<base::JsonObject> object = base::JsonObject::read(raw);
  if (!object) {
    refuse(name, std::string(what) + " is not an object");
  }
  return *std::move(object);
}

Descriptor read_descriptor(const base::JsonObject& object, std::string_view what,
                           std::string_view name) {
  Descriptor descriptor{.media_type = text_at(object, "mediaType", name), .digest = {}};
  const std::string digest = text_at(object, "digest", name);
  const std::optional<Digest> parsed = parse_digest(digest);
  if (!parsed) {
    refuse(name, std::string(what) + " has the digest " + base::quoted(digest) +
                     "; 'sha256:' and 64 hexadecimal digits are needed");
  }
  descriptor.digest = *parsed;
  const std::string* const bytes = object.find("size");
  const std::optional<uint64_t> number =
      bytes != nullptr ? base::json_unsigned(*bytes) : std::nullopt;
  if (!number || *number > kMostFileBytes) {
    refuse(name, std::string(what) + " has no valid size");
  }
  descriptor.bytes = *number;
  return descriptor;
}

base::JsonLine descriptor_line(const Descriptor& descriptor) {
  return base::JsonLine()
      .text("mediaType", descriptor.media_type)
      .text("digest", descriptor.digest.text())
      .number("size", static_cast<int64_t>(descriptor.bytes));
}

void require_version(const base::JsonObject& object, std::string_view type, std::string_view name) {
  const std::string* const version = object.find("schemaVersion");
  if (version == nullptr || base::json_integer(*version) != 2) {
    refuse(name, "its schemaVersion is not 2");
  }
  const std::string found = text_at(object, "mediaType", name);
  if (!found.empty() && found != type) {
    refuse(name, "its media type is " + base::quoted(found) + ", not " + base::quoted(type));
  }
}

void require_type(const Descriptor& layer, size_t position, std::string_view type,
                  uint64_t most_bytes, std::string_view name) {
  const std::string what = "layer " + std::to_string(position);
  if (layer.media_type != type) {
    refuse(name, what + " has the media type " + base::quoted(layer.media_type) + ", not " +
                     base::quoted(type));
  }
  if (layer.bytes > most_bytes) {
    refuse(name, what + " has " + std::to_string(layer.bytes) + " bytes; at most " +
                     std::to_string(most_bytes) + " are possible");
  }
}

std::vector<std::string_view> array_at(const base::JsonObject& object, std::string_view key,
                                       std::string_view name) {
  const std::string* const raw = object.find(key);
  std::optional<std::vector<std::string_view>> elements =
      raw != nullptr ? base::json_elements(*raw) : std::nullopt;
  if (!elements) {
    refuse(name, "it has no list " + base::quoted(key));
  }
  return *std::move(elements);
}

}  // namespace

Descriptor empty_config() {
  return {.media_type = kEmptyType, .digest = sha256(kEmptyConfig), .bytes = kEmptyConfig.size()};
}

std::string encode_manifest(const Manifest& manifest, const Annotations& annotations) {
  base::JsonList layers;
  layers.add(descriptor_line(manifest.description).str())
      .add(descriptor_line(manifest.index).str());
  for (const Descriptor& pack : manifest.packs) {
    layers.add(descriptor_line(pack).str());
  }
  base::JsonObject members;
  for (const auto& [key, value] : annotations) {
    members.set(key, base::json_string(value));
  }
  return base::JsonLine()
      .number("schemaVersion", 2)
      .text("mediaType", kManifestType)
      .text("artifactType", kTemplateType)
      .raw("config", descriptor_line(empty_config()).str())
      .raw("layers", layers.str())
      .raw("annotations", members.compact())
      .str();
}

Manifest parse_manifest(std::string_view text, std::string_view name) {
  const base::JsonObject object = base::JsonObject::parse(text, name);
  require_version(object, kManifestType, name);
  if (const std::string type = text_at(object, "artifactType", name); type != kTemplateType) {
    refuse(name, "its artifact type is " + base::quoted(type) + ", not " +
                     base::quoted(kTemplateType) + ": it is not a template of snapfork");
  }
  const std::vector<std::string_view> layers = array_at(object, "layers", name);
  if (layers.size() < 2 || layers.size() > kMostLayers) {
    refuse(name, "it has " + std::to_string(layers.size()) + " layers; 2 to " +
                     std::to_string(kMostLayers) + " are possible");
  }
  Manifest manifest;
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string what = "layer " + std::to_string(i);
    const Descriptor layer = read_descriptor(object_of(layers[i], what, name), what, name);
    if (i == 0) {
      require_type(layer, i, kDescriptionType, kMostJsonBytes, name);
      manifest.description = layer;
    } else if (i == 1) {
      require_type(layer, i, kIndexType, kMostIndexBytes, name);
      manifest.index = layer;
    } else {
      require_type(layer, i, kPackType, kMostFileBytes, name);
      manifest.packs.push_back(layer);
    }
  }
  return manifest;
}

std::vector<Entry> parse_entries(std::string_view text, std::string_view name) {
  const base::JsonObject object = base::JsonObject::parse(text, name);
  require_version(object, kLayoutType, name);
  std::vector<Entry> entries;
  for (const std::string_view raw : array_at(object, "manifests", name)) {
    const std::string what = "manifest " + std::to_string(entries.size());
    const base::JsonObject source = object_of(raw, what, name);
    Entry entry{
        .descriptor = read_descriptor(source, what, name), .tag = "", .raw = std::string(raw)};
    if (const std::string* const annotations = source.find("annotations")) {
      entry.tag = text_at(object_of(*annotations, "annotations", name), kTagKey, name);
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

Entry make_entry(const Descriptor& manifest, const std::string& tag) {
  base::JsonLine line = descriptor_line(manifest).text("artifactType", kTemplateType);
  line.raw("annotations", base::JsonLine().text(kTagKey, tag).str());
  return {.descriptor = manifest, .tag = tag, .raw = line.str()};
}

std::string encode_entries(const std::vector<Entry>& entries) {
  base::JsonList list;
  for (const Entry& entry : entries) {
    list.add(entry.raw);
  }
  return base::JsonLine()
      .number("schemaVersion", 2)
      .text("mediaType", kLayoutType)
      .raw("manifests", list.str())
      .str();
}

std::string layout_file() {
  return R"({"imageLayoutVersion":"1.0.0"})";
}

void check_layout_file(std::string_view text, std::string_view name) {
  const std::string version =
      text_at(base::JsonObject::parse(text, name), "imageLayoutVersion", name);
  if (!version.starts_with("1.")) {
    refuse(name, "its imageLayoutVersion is " + base::quoted(version) + ", not '1.0.0'");
  }
}

}  // namespace oci
