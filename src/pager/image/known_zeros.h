// SPDX-License-Identifier: Apache-2.0
// The zero pages of a served memory file, as listed in its template's image.json.
#pragma once

#include <optional>
#include <string>

#include "pager/image/data_map.h"

struct stat;

namespace pager {

struct KnownZeros {
  DataMap data;          // the data extents without the known zero pages
  bool complete = true;  // no other page of the data is zero
  std::string digest{};  // of the contents
};

// Looks up the record for `memory`, which is ID/snapshots/snapshot-latest/memory:
// ID/template/image.json, or that of the template of fork ID. The record counts only if the
// template's memory is the file that is served (same inode as `st`), is sealed, has the recorded
// size, and was not written to later; otherwise the reason is logged. Returns nothing if no record
// counts.
std::optional<KnownZeros> known_zeros(const std::string& memory, const struct stat& st,
                                      const DataMap& data);

}  // namespace pager
