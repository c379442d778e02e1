// SPDX-License-Identifier: Apache-2.0
// Reads the keys of metadata.json that the counting of forks relies on, cheaply and strictly.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "store/store.h"

namespace meta {

struct ForkRelation {
  std::string id;                // Id
  bool is_template = false;      // IsTemplate
  std::string fork_of_template;  // ForkOfTemplate: the id of the template; empty if not a fork
};

// Reads guests/<id>/metadata.json and keeps only these keys. A missing key and null are the zero
// value of Go. Returns nothing if guests/ has no such name. Every other failure throws, so that no
// caller mistakes it for "not a fork". Throws base::BadData for a name that is not a guest
// (guest.h), for a file that JsonObject::parse refuses, and for a key of another type. Throws
// std::system_error for a file that cannot be read, such as a missing metadata.json.
std::optional<ForkRelation> read_fork_relation(const store::Store& store, std::string_view id);

// The keys in the contents of a metadata.json. `path` is its name in messages. Throws
// base::BadData.
ForkRelation parse_fork_relation(std::string_view text, const std::string& path);

}  // namespace meta
