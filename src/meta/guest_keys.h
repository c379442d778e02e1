// The two keys of a metadata.json that the counting of forks rests on, read cheaply and strictly.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/store.h"

namespace meta {

struct GuestKeys {
  bool is_template = false;      // IsTemplate
  std::string fork_of_template;  // ForkOfTemplate: the template's id, empty when it is no fork
};

// Reads guests/<id>/metadata.json without keeping the rest of it. A missing key, or null, is what
// Go writes for a zero value. Nothing when there is no directory guests/<id>. Whatever else keeps
// the keys from being known throws, so that nobody takes it for "no": base::BadData for text that
// is no JSON object (see JsonObject::parse for what else is refused) or has one of the keys in
// another type; std::system_error for what cannot be read, a directory without metadata.json among
// it.
std::optional<GuestKeys> read_guest_keys(const base::Store& store, std::string_view id);

}  // namespace meta
