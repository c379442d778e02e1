// SPDX-License-Identifier: Apache-2.0
// The JSON documents of an OCI image layout: oci-layout, index.json, the manifest.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oci/digest.h"

namespace oci {

// The name, media type and length of a blob.
struct Descriptor {
  std::string media_type;
  Digest digest;
  uint64_t bytes = 0;

  bool operator==(const Descriptor&) const = default;
};

using Annotations = std::vector<std::pair<std::string, std::string>>;

// The manifest of a template: the empty config, and the layers in their order.
struct Manifest {
  Descriptor description;
  Descriptor index;
  std::vector<Descriptor> packs;
};

// The contents of the blob that every manifest of a template has as its config.
inline constexpr std::string_view kEmptyConfig = "{}";
Descriptor empty_config();

std::string encode_manifest(const Manifest& manifest, const Annotations& annotations);
// Throws base::BadData "cannot read 'NAME': REASON" unless `text` is the manifest of a template:
// its artifact type, the media type of each layer, the number of layers, every digest and length.
// A key that occurs twice in one object, such as an annotation, is refused.
Manifest parse_manifest(std::string_view text, std::string_view name);

// An entry of index.json.
struct Entry {
  Descriptor descriptor;
  std::string tag;  // org.opencontainers.image.ref.name; empty if it has none
  std::string raw;  // its source
};
// Throws base::BadData unless `text` is an image index.
std::vector<Entry> parse_entries(std::string_view text, std::string_view name);
Entry make_entry(const Descriptor& manifest, const std::string& tag);
std::string encode_entries(const std::vector<Entry>& entries);

// The file oci-layout.
std::string layout_file();
// Throws base::BadData unless it is version 1 of the image layout.
void check_layout_file(std::string_view text, std::string_view name);

}  // namespace oci
