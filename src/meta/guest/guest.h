// SPDX-License-Identifier: Apache-2.0
// What a guest is: the one check that every verb makes before it uses an id.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace meta {

// A guest is a directory guests/ID, itself and not a symbolic link to one, whose metadata.json has
// the Id ID. Another name for a guest (a link, a bind mount, a copy, a renamed directory) is not a
// guest: its forks would be looked up under the wrong name, and what is removed through it is
// another guest's.

// Whether something has the name `id` in guests/, whatever it is: then the id is taken.
bool guest_exists(const store::Store& store, std::string_view id);

// Throws base::Refused when guests/ has no such name, base::BadData when it is not a guest, and
// std::system_error when the root itself is missing. Metadata that cannot be parsed is not an
// obstacle here, because such a guest can still be deleted; readers of the metadata throw then.
void require_guest(const store::Store& store, std::string_view id);

// Whether require_guest would return. Throws std::system_error.
bool is_guest(const store::Store& store, std::string_view id);
// That base::Refused.
[[noreturn]] void throw_no_guest(const store::Store& store, std::string_view id);

// The text of a guest's metadata.json, read without following links; nothing when guests/ has no
// such name. Throws std::system_error when it cannot be read, base::BadData for a link on the way
// and for a text that is too long.
std::optional<std::string> read_metadata_text(const store::Store& store, std::string_view id);

// Throws base::BadData unless metadata of the directory `id` has that Id.
void check_recorded_id(const store::Store& store, std::string_view id, std::string_view recorded);

// The names in guests/ that are ids and directories, sorted. Links are left out.
std::vector<std::string> list_guests(const store::Store& store);

}  // namespace meta
