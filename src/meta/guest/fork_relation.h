// SPDX-License-Identifier: Apache-2.0
// The two keys of a metadata.json that the counting of forks rests on, read cheaply and strictly.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "store/store.h"

namespace meta {

struct GuestKeys {
  std::string id;                // Id
  bool is_template = false;      // IsTemplate
  std::string fork_of_template;  // ForkOfTemplate: the template's id, empty when it is no fork
};

// Reads guests/<id>/metadata.json without keeping the rest of it. A missing key, or null, is what
// Go writes for a zero value. Nothing when guests/ has no such name. Whatever else keeps the keys
// from being known throws, so that no caller takes it for "no": base::BadData for a name that is
// not a guest (guest.h), for text that is not a JSON object (see JsonObject::parse for what else is
// refused) or has one of the keys in another type; std::system_error for what cannot be read, such
// as a directory without metadata.json.
std::optional<GuestKeys> read_guest_keys(const store::Store& store, std::string_view id);

// The keys in the text of a metadata.json; `path` is what messages call it. Throws base::BadData.
GuestKeys parse_guest_keys(std::string_view text, const std::string& path);

}  // namespace meta
