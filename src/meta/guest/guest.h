// SPDX-License-Identifier: Apache-2.0
// Defines what a guest is: the check that every verb makes before it uses an id.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace meta {

// A guest is a directory guests/ID, not a symbolic link to one, whose metadata.json has the Id ID.
// Another name for a guest (a link, a bind mount, a copy, a renamed directory) is not a guest. Its
// forks would be looked up under the wrong name, and a removal through it would remove files of
// another guest.

// Whether guests/ has an entry of any kind named `id`. Then the id is in use.
bool guest_exists(const store::Store& store, std::string_view id);

// Throws base::Refused if guests/ has no such name, base::BadData if the name is not a guest, and
// std::system_error if the root of the store is missing. Accepts a guest whose metadata cannot be
// parsed, because such a guest can be deleted; functions that read the metadata throw for it.
void require_guest(const store::Store& store, std::string_view id);

// Whether require_guest returns. Throws std::system_error.
bool is_guest(const store::Store& store, std::string_view id);
// Throws the base::Refused of require_guest.
[[noreturn]] void throw_no_guest(const store::Store& store, std::string_view id);

// The contents of a guest's metadata.json, read without following links. Returns nothing if guests/
// has no such name. Throws std::system_error if the file cannot be read, and base::BadData if its
// path contains a link or if it is too long.
std::optional<std::string> read_metadata_text(const store::Store& store, std::string_view id);

// Throws base::BadData unless `recorded`, the Id in the metadata of the directory `id`, equals
// `id`.
void check_recorded_id(const store::Store& store, std::string_view id, std::string_view recorded);

// The names in guests/ that are ids and directories, sorted. Links are omitted.
std::vector<std::string> list_guests(const store::Store& store);

}  // namespace meta
